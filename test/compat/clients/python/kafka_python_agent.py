"""kafka-python 3, which is Python all through."""

import logging
import os
import sys
import time

from kafka import (
    ConsumerRebalanceListener,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    OffsetSpec,
    TopicPartition,
)
from kafka.admin import ConfigResource
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import KafkaError, TopicAlreadyExistsError
from records import CannotDo, Idle, number_of, run, say, stop_event, test_record, write, write_record

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
    "cooperative-sticky": CooperativeStickyAssignor,
}

logging.basicConfig(stream=sys.stderr, level=os.environ.get("AGENT_LOG", "ERROR").upper())


def settings_of(given):
    return {
        "bootstrap_servers": given["bootstrap"],
        "client_id": "kafka-python-agent",
        "allow_auto_create_topics": False,
        "reconnect_backoff_max_ms": 1000,
    }


def produce(given):
    is_idempotent = given.get("idempotent", False)
    producer = KafkaProducer(
        **settings_of(given),
        acks=given["acks"] if given["acks"] == "all" else int(given["acks"]),
        compression_type=None if given["codec"] == "none" else given["codec"],
        enable_idempotence=is_idempotent,
        max_in_flight_requests_per_connection=5 if is_idempotent else 1,
        linger_ms=20,
        batch_size=64 * 1024,
    )
    failures = []
    for i in range(given["first"], given["first"] + given["count"]):
        key, value, headers, timestamp = test_record(i)
        if key is None and value is None:
            # It refuses such a record. ../../agents.ts knows.
            key = b"nothing"
        sent = producer.send(
            given["topic"],
            partition=i % given["partitions"],
            key=key,
            value=value,
            headers=headers,
            timestamp_ms=timestamp,
        )
        sent.add_errback(failures.append)
    producer.flush(timeout=60)
    if failures:
        raise failures[0]
    producer.close()
    say({"sent": given["count"]})


def consume(given):
    consumer = KafkaConsumer(
        **settings_of(given),
        enable_auto_commit=False,
        isolation_level=given["isolation"],
        fetch_max_wait_ms=100,
        max_poll_records=1000,
    )
    consumer.assign([TopicPartition(given["topic"], partition) for partition in range(given["partitions"])])
    consumer.seek_to_beginning()
    idle = Idle()
    seen = 0
    while seen < given["count"]:
        count = 0
        for records in consumer.poll(timeout_ms=200).values():
            count += len(records)
            for one in records:
                write_record(one.partition, one.offset, one.key, one.value, one.headers, one.timestamp)
        idle.seen(count)
        seen += count
    consumer.close()


class Listener(ConsumerRebalanceListener):
    def __init__(self, commit):
        self.commit = commit

    def on_partitions_assigned(self, assigned):
        say({"assigned": sorted(one.partition for one in assigned)})

    def on_partitions_revoked(self, revoked):
        # It is called by the thread that would have to read the answer, which comes before that to its join anyway.
        self.commit(is_waited_for=False)
        say({"revoked": sorted(one.partition for one in revoked)})

    def on_partitions_lost(self, lost):
        say({"revoked": sorted(one.partition for one in lost)})


def join(given):
    if given["protocol"] != "classic":
        raise CannotDo("it has the classic protocol only")
    if given.get("assignor", "range") not in ASSIGNORS:
        raise CannotDo(f"it has no assignor {given['assignor']}")
    session = given["sessionTimeoutMs"]
    consumer = KafkaConsumer(
        **settings_of(given),
        group_id=given["group"],
        group_instance_id=given.get("instanceId"),
        session_timeout_ms=session,
        heartbeat_interval_ms=min(500, session // 3),
        partition_assignment_strategy=[ASSIGNORS[given.get("assignor", "range")]],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=200,
    )
    stopped = stop_event()
    uncommitted = {}

    def commit(is_waited_for=True):
        sys.stdout.flush()
        offsets = {partition: OffsetAndMetadata(offset, "", -1) for partition, offset in uncommitted.items()}
        uncommitted.clear()
        if not offsets:
            return
        if not is_waited_for:
            consumer.commit_async(offsets)
            return
        try:
            consumer.commit(offsets)
        except KafkaError as error:
            print(f"commit: {error}", file=sys.stderr)

    consumer.subscribe([given["topic"]], listener=Listener(commit))
    committed_at = time.monotonic()
    while not stopped.is_set():
        for partition, records in consumer.poll(timeout_ms=100, max_records=200).items():
            for one in records:
                write({"p": one.partition, "o": one.offset, "i": number_of(one.headers, one.value)})
            uncommitted[partition] = records[-1].offset + 1
        sys.stdout.flush()
        if time.monotonic() - committed_at > 0.3:
            commit()
            committed_at = time.monotonic()
    commit()
    consumer.close(autocommit=False)
    say({"left": True})


def transact(given):
    producer = KafkaProducer(
        **settings_of(given),
        transactional_id=given["transactionalId"],
        transaction_timeout_ms=10_000,
        max_block_ms=20_000,
    )
    consumer = KafkaConsumer(
        given["from"],
        **settings_of(given),
        group_id=given["group"],
        session_timeout_ms=6000,
        heartbeat_interval_ms=500,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=100,
    )
    stopped = stop_event()
    producer.init_transactions()
    transactions = 0
    while not stopped.is_set():
        batches = consumer.poll(timeout_ms=200, max_records=50)
        records = [one for batch in batches.values() for one in batch]
        if not records:
            continue
        offsets = {
            partition: OffsetAndMetadata(batch[-1].offset + 1, "", -1) for partition, batch in batches.items() if batch
        }
        is_done = False
        while not is_done:
            transactions += 1
            is_aborted = transactions % 7 == 0
            producer.begin_transaction()
            for one in records:
                value = (one.value or b"") + b"!"
                producer.send(given["to"], partition=one.partition, key=one.key, value=value, headers=one.headers)
            if is_aborted:
                producer.flush()
                producer.abort_transaction()
            else:
                producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
                producer.commit_transaction()
            is_done = not is_aborted
        say({"committed": len(records)})
    consumer.close(autocommit=False)
    producer.close()


def admin(given):
    topic, group, made = given["topic"], given["group"], given["topic"] + "-made"
    client = KafkaAdminClient(bootstrap_servers=given["bootstrap"], client_id="kafka-python-agent")

    def create():
        configs = {"retention.ms": "3600000", "segment.bytes": "1048576"}
        try:
            client.create_topics({made: {"num_partitions": 3, "replication_factor": 1, "configs": configs}})
            return "ok"
        except TopicAlreadyExistsError as error:
            return type(error).message

    def names():
        return sorted(name for name in client.list_topics() if name.startswith(topic))

    def partition_count():
        return len(client.describe_topics([made])[0]["partitions"])

    def configs_of(which):
        resource = ConfigResource("TOPIC", made, None)
        return client.describe_configs([resource], config_filter=which)["topic"][made]

    def two_configs():
        configs = configs_of("all")
        return [configs[name]["value"] for name in ("retention.ms", "segment.bytes")]

    def alter(configs, is_incremental):
        client.alter_configs([ConfigResource("TOPIC", made, configs)], incremental=is_incremental)

    def offsets_at(spec):
        listed = client.list_partition_offsets({TopicPartition(topic, partition): spec for partition in range(3)})
        return [listed[TopicPartition(topic, partition)].offset for partition in range(3)]

    def has_group():
        return any(listed["group_id"] == group for listed in client.list_groups())

    def committed():
        return client.list_group_offsets({group: None})[group][first].offset

    first = TopicPartition(topic, 0)
    call("createTopic", create())
    call("createTopicAgain", create())
    call("listTopics", names())
    call("describeTopic", partition_count())
    client.create_partitions({made: 5})
    call("createPartitions", partition_count())
    call("describeConfigs", two_configs())
    modified = {name: config["value"] for name, config in configs_of("modified").items()}
    alter(modified | {"retention.ms": "7200000"}, False)
    call("alterConfigs", two_configs())
    alter({"segment.bytes": "2097152"}, True)
    call("incrementalAlterConfigs", two_configs())
    pairs = zip(offsets_at(OffsetSpec.EARLIEST), offsets_at(OffsetSpec.LATEST))
    call("listOffsets", [list(pair) for pair in pairs])
    call("deleteRecords", client.delete_records({first: 5})[first]["low_watermark"])
    call("listGroups", has_group())
    call("describeGroup", client.describe_groups([group])[group]["group_state"])
    call("groupOffsets", committed())
    client.alter_group_offsets(group, {first: OffsetAndMetadata(6, "", -1)})
    call("alterGroupOffsets", committed())
    call("describeCluster", len(client.describe_cluster()["brokers"]))
    client.delete_groups([group])
    call("deleteGroup", has_group())
    client.delete_topics([made, topic])
    call("deleteTopics", names())
    client.close()


def call(name, result):
    say({"call": name, "result": result})


run({"produce": produce, "consume": consume, "join": join, "transact": transact, "admin": admin})
