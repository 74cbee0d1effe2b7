"""confluent-kafka, which is librdkafka in Python."""

import sys
import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from records import Idle, number_of, run, say, stop_event, test_record, write, write_record


def settings_of(given):
    return {
        "bootstrap.servers": given["bootstrap"],
        "client.id": "confluent-python-agent",
        "allow.auto.create.topics": False,
        "reconnect.backoff.max.ms": 1000,
        "error_cb": lambda error: print(error, file=sys.stderr),
    }


def produce(given):
    producer = Producer(
        settings_of(given)
        | {
            "compression.type": given["codec"],
            "acks": given["acks"],
            "enable.idempotence": given.get("idempotent", False),
            "linger.ms": 20,
        }
    )
    failures = []

    def delivered(error, _message):
        if error is not None:
            failures.append(error)

    for i in range(given["first"], given["first"] + given["count"]):
        key, value, headers, timestamp = test_record(i)
        while True:
            try:
                producer.produce(
                    given["topic"],
                    partition=i % given["partitions"],
                    key=key,
                    value=value,
                    headers=headers,
                    timestamp=timestamp,
                    on_delivery=delivered,
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(60)
    if failures or left > 0:
        raise KafkaException(failures[0] if failures else KafkaError(KafkaError._TIMED_OUT))
    say({"sent": given["count"]})


def consume(given):
    consumer = Consumer(
        settings_of(given)
        | {
            "group.id": "none",
            "enable.auto.commit": False,
            "isolation.level": given["isolation"],
            "fetch.wait.max.ms": 100,
        }
    )
    topic = given["topic"]
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(given["partitions"])])
    idle = Idle()
    seen = 0
    while seen < given["count"]:
        messages = consumer.consume(1000, timeout=0.2)
        idle.seen(len(messages))
        for message in messages:
            fail_on(message)
            _kind, timestamp = message.timestamp()
            write_record(
                message.partition(), message.offset(), message.key(), message.value(), message.headers(), timestamp
            )
        seen += len(messages)
    consumer.close()


def fail_on(message):
    if message.error() is not None:
        raise KafkaException(message.error())


def group_settings(given):
    settings = settings_of(given) | {
        "group.id": given["group"],
        "group.protocol": given["protocol"],
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 200,
    }
    if "instanceId" in given:
        settings["group.instance.id"] = given["instanceId"]
    if given["protocol"] == "classic":
        session = given["sessionTimeoutMs"]
        settings |= {"session.timeout.ms": session, "heartbeat.interval.ms": min(500, session // 3)}
        if "assignor" in given:
            settings["partition.assignment.strategy"] = given["assignor"]
    elif "assignor" in given:
        settings["group.remote.assignor"] = given["assignor"]
    return settings


def join(given):
    consumer = Consumer(group_settings(given))
    stopped = stop_event()
    uncommitted = {}

    def commit():
        sys.stdout.flush()
        offsets = list(uncommitted.values())
        uncommitted.clear()
        if not offsets:
            return
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            print(f"commit: {error}", file=sys.stderr)

    # Its defaults for assigning and giving back are right for every assignor when these do neither.
    def assigned(_consumer, partitions):
        say({"assigned": sorted(one.partition for one in partitions)})

    def revoked(_consumer, partitions):
        commit()
        say({"revoked": sorted(one.partition for one in partitions)})

    def lost(_consumer, partitions):
        uncommitted.clear()
        say({"revoked": sorted(one.partition for one in partitions)})

    consumer.subscribe([given["topic"]], on_assign=assigned, on_revoke=revoked, on_lost=lost)
    committed_at = time.monotonic()
    while not stopped.is_set():
        for message in consumer.consume(200, timeout=0.1):
            if message.error() is not None:
                print(message.error(), file=sys.stderr)
                continue
            number = number_of(message.headers(), message.value())
            write({"p": message.partition(), "o": message.offset(), "i": number})
            uncommitted[message.partition()] = TopicPartition(
                message.topic(), message.partition(), message.offset() + 1
            )
        sys.stdout.flush()
        if time.monotonic() - committed_at > 0.3:
            commit()
            committed_at = time.monotonic()
    commit()
    consumer.close()
    say({"left": True})


def transact(given):
    producer = Producer(
        settings_of(given) | {"transactional.id": given["transactionalId"], "transaction.timeout.ms": 10_000}
    )
    consumer = Consumer(
        settings_of(given)
        | {
            "group.id": given["group"],
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "session.timeout.ms": 6000,
            "fetch.wait.max.ms": 100,
        }
    )
    stopped = stop_event()
    consumer.subscribe([given["from"]])
    retried(producer.init_transactions, 20)
    transactions = 0
    while not stopped.is_set():
        messages = [message for message in consumer.consume(50, timeout=0.2) if message.error() is None]
        if not messages:
            continue
        offsets = {m.partition(): TopicPartition(given["from"], m.partition(), m.offset() + 1) for m in messages}
        is_done = False
        while not is_done:
            transactions += 1
            is_aborted = transactions % 7 == 0
            producer.begin_transaction()
            try:
                for message in messages:
                    producer.produce(
                        given["to"],
                        partition=message.partition(),
                        key=message.key(),
                        value=(message.value() or b"") + b"!",
                        headers=message.headers(),
                    )
                if is_aborted:
                    retried(producer.abort_transaction, 20)
                else:
                    metadata = consumer.consumer_group_metadata()
                    retried(producer.send_offsets_to_transaction, list(offsets.values()), metadata, 20)
                    retried(producer.commit_transaction, 20)
            except KafkaException as error:
                if error.args[0].txn_requires_abort():
                    retried(producer.abort_transaction, 20)
                # Who is started next reads them again.
                raise
            is_done = not is_aborted
        say({"committed": len(messages)})
    consumer.close()


def retried(call, *arguments):
    """Does again what librdkafka says may be done again."""
    for left in range(20, -1, -1):
        try:
            return call(*arguments)
        except KafkaException as error:
            if not error.args[0].retriable() or left == 0:
                raise
            time.sleep(0.2)


def admin(given):
    topic, group, made = given["topic"], given["group"], given["topic"] + "-made"
    client = AdminClient(settings_of(given))

    def create():
        config = {"retention.ms": "3600000", "segment.bytes": "1048576"}
        new_topic = NewTopic(made, num_partitions=3, replication_factor=1, config=config)
        try:
            one(client.create_topics([new_topic]))
            return "ok"
        except KafkaException as error:
            return error.args[0].name()

    def names():
        return sorted(name for name in client.list_topics(timeout=10).topics if name.startswith(topic))

    def partition_count():
        return len(client.list_topics(made, timeout=10).topics[made].partitions)

    def resource():
        return ConfigResource(ResourceType.TOPIC, made)

    def read_configs():
        return one(client.describe_configs([resource()]))

    def two_configs():
        configs = read_configs()
        return [configs["retention.ms"].value, configs["segment.bytes"].value]

    def offsets_at(spec):
        futures = client.list_offsets({TopicPartition(topic, partition): spec for partition in range(3)})
        return [future.result().offset for _, future in sorted(futures.items(), key=lambda item: item[0].partition)]

    def has_group():
        return any(one.group_id == group for one in client.list_consumer_groups().result().valid)

    def committed():
        answer = one(client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
        return next(found.offset for found in answer.topic_partitions if found.partition == 0)

    call("createTopic", create())
    call("createTopicAgain", create())
    call("listTopics", names())
    call("describeTopic", partition_count())
    one(client.create_partitions([NewPartitions(made, 5)]))
    call("createPartitions", partition_count())
    call("describeConfigs", two_configs())
    written = resource()
    for name, entry in read_configs().items():
        if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value and not entry.is_read_only:
            written.set_config(name, "7200000" if name == "retention.ms" else entry.value)
    one(client.alter_configs([written]))
    call("alterConfigs", two_configs())
    changed = resource()
    changed.add_incremental_config(
        ConfigEntry("segment.bytes", "2097152", incremental_operation=AlterConfigOpType.SET)
    )
    one(client.incremental_alter_configs([changed]))
    call("incrementalAlterConfigs", two_configs())
    pairs = zip(offsets_at(OffsetSpec.earliest()), offsets_at(OffsetSpec.latest()))
    call("listOffsets", [list(pair) for pair in pairs])
    call("deleteRecords", one(client.delete_records([TopicPartition(topic, 0, 5)])).low_watermark)
    call("listGroups", has_group())
    call("describeGroup", one(client.describe_consumer_groups([group])).state.name.capitalize())
    call("groupOffsets", committed())
    one(client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 6)])]))
    call("alterGroupOffsets", committed())
    call("describeCluster", len(client.describe_cluster().result().nodes))
    one(client.delete_consumer_groups([group]))
    call("deleteGroup", has_group())
    for future in client.delete_topics([made, topic]).values():
        future.result()
    call("deleteTopics", names())


def one(futures):
    """The result of the one thing that was asked for."""
    return next(iter(futures.values())).result(20)


def call(name, result):
    say({"call": name, "result": result})


run({"produce": produce, "consume": consume, "join": join, "transact": transact, "admin": admin})
