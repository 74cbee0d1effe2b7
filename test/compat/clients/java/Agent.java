import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.OutOfOrderSequenceException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Kafka's Java client as an agent of the tests: Agent COMMAND JSON. test/compat/agents.ts says what it must do. */
public final class Agent {
  private static final Duration POLL = Duration.ofMillis(100);
  private static final long SILENCE_MS_MAX = 30_000;
  private static final long COMMIT_INTERVAL_MS = 400;
  private static final int SILENT = 4;
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final PrintStream OUTPUT =
      new PrintStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16), false);

  public static void main(String[] arguments) throws Exception {
    JsonNode options = JSON.readTree(arguments[1]);
    int exit =
        switch (arguments[0]) {
          case "produce" -> produce(options);
          case "consume" -> consume(options);
          case "join" -> join(options);
          case "transact" -> transact(options);
          default -> throw new IllegalArgumentException("no command " + arguments[0]);
        };
    OUTPUT.flush();
    System.exit(exit);
  }

  private static int produce(JsonNode options) throws InterruptedException {
    Map<String, Object> config = producerConfig(options);
    config.put(ProducerConfig.ACKS_CONFIG, options.path("acks").asText("all"));
    config.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, options.path("idempotent").asBoolean(true));
    config.put(ProducerConfig.COMPRESSION_TYPE_CONFIG, options.path("codec").asText("none"));
    config.put(ProducerConfig.LINGER_MS_CONFIG, 5);
    String topic = options.get("topic").asText();
    int partitions = options.get("partitions").asInt();
    int first = options.get("first").asInt();
    int count = options.get("count").asInt();
    AtomicReference<Exception> failure = new AtomicReference<>();
    Callback noted = (metadata, error) -> failure.compareAndSet(null, error);
    try (Producer<byte[], byte[]> producer = new KafkaProducer<>(config)) {
      for (int i = first; i < first + count && failure.get() == null; i++) {
        producer.send(testRecord(topic, i % partitions, i), noted);
      }
    }
    if (failure.get() != null) throw new KafkaException("a record was not taken", failure.get());
    print(JSON.createObjectNode().put("sent", count));
    return 0;
  }

  private static ProducerRecord<byte[], byte[]> testRecord(String topic, int partition, int i) {
    byte[] key = i % 11 == 0 ? null : bytes("key-" + i % 97);
    byte[] value = i % 13 == 0 ? null : bytes("value-" + i + "-" + "x".repeat(i % 200));
    RecordHeaders headers = new RecordHeaders();
    headers.add("n", bytes(Integer.toString(i)));
    if (i % 3 == 0) headers.add("empty", new byte[0]);
    return new ProducerRecord<>(topic, partition, 1_700_000_000_000L + i, key, value, headers);
  }

  private static int consume(JsonNode options) {
    Map<String, Object> config = consumerConfig(options);
    config.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, options.path("isolation").asText("read_uncommitted"));
    String topic = options.get("topic").asText();
    int left = options.get("count").asInt();
    List<TopicPartition> partitions =
        IntStream.range(0, options.get("partitions").asInt()).mapToObj(p -> new TopicPartition(topic, p)).toList();
    try (Consumer<byte[], byte[]> consumer = new KafkaConsumer<>(config)) {
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      long heardAt = System.nanoTime();
      while (left > 0) {
        ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
        if (!records.isEmpty()) heardAt = System.nanoTime();
        else if (System.nanoTime() - heardAt > SILENCE_MS_MAX * 1_000_000) return SILENT;
        for (ConsumerRecord<byte[], byte[]> record : records) {
          if (left-- > 0) print(describe(record));
        }
      }
    }
    return 0;
  }

  private static ObjectNode describe(ConsumerRecord<byte[], byte[]> record) {
    ObjectNode line = JSON.createObjectNode().put("p", record.partition()).put("o", record.offset());
    line.put("k", base64(record.key())).put("v", base64(record.value()));
    ArrayNode headers = line.putArray("h");
    for (Header header : record.headers()) headers.addArray().add(header.key()).add(base64(header.value()));
    return line.put("t", record.timestamp());
  }

  private static int join(JsonNode options) throws InterruptedException {
    Map<String, Object> config = consumerConfig(options);
    config.put(ConsumerConfig.GROUP_ID_CONFIG, options.get("group").asText());
    if (options.hasNonNull("instanceId")) {
      config.put(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG, options.get("instanceId").asText());
    }
    String assignor = options.path("assignor").asText();
    if (options.path("protocol").asText("classic").equals("consumer")) {
      // The session timeout is the broker's there.
      config.put(ConsumerConfig.GROUP_PROTOCOL_CONFIG, "consumer");
      if (!assignor.isEmpty()) config.put(ConsumerConfig.GROUP_REMOTE_ASSIGNOR_CONFIG, assignor);
    } else {
      int sessionTimeoutMs = options.path("sessionTimeoutMs").asInt(10_000);
      config.put(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, sessionTimeoutMs);
      config.put(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, Math.min(500, sessionTimeoutMs / 3));
      config.put(ConsumerConfig.PARTITION_ASSIGNMENT_STRATEGY_CONFIG, List.of(assignorClass(assignor)));
    }
    Thread stop = stopRequest();
    try (Consumer<byte[], byte[]> consumer = new KafkaConsumer<>(config)) {
      Committer committer = new Committer(consumer);
      consumer.subscribe(List.of(options.get("topic").asText()), committer);
      while (stop.isAlive()) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
          long number = numberOf(record);
          print(JSON.createObjectNode().put("p", record.partition()).put("o", record.offset()).put("i", number));
          committer.seen(record);
        }
        OUTPUT.flush();
        committer.commitWhenDue();
      }
      committer.commit();
    }
    print(JSON.createObjectNode().put("left", true));
    return 0;
  }

  private static Class<?> assignorClass(String name) {
    return switch (name) {
      case "", "range" -> RangeAssignor.class;
      case "roundrobin" -> RoundRobinAssignor.class;
      case "sticky" -> StickyAssignor.class;
      case "cooperative-sticky" -> CooperativeStickyAssignor.class;
      default -> throw new IllegalArgumentException("no assignor " + name);
    };
  }

  /** Reports what a member gets and gives back, and commits what it has printed. */
  private static final class Committer implements ConsumerRebalanceListener {
    private final Consumer<byte[], byte[]> consumer;
    private final Map<TopicPartition, OffsetAndMetadata> uncommitted = new HashMap<>();
    private long committedAt = System.nanoTime();

    Committer(Consumer<byte[], byte[]> consumer) {
      this.consumer = consumer;
    }

    void seen(ConsumerRecord<byte[], byte[]> record) {
      uncommitted.put(partitionOf(record), new OffsetAndMetadata(record.offset() + 1));
    }

    void commitWhenDue() {
      if (System.nanoTime() - committedAt >= COMMIT_INTERVAL_MS * 1_000_000) commit();
    }

    void commit() {
      committedAt = System.nanoTime();
      if (uncommitted.isEmpty()) return;
      try {
        consumer.commitSync(uncommitted);
      } catch (CommitFailedException error) {
        // The group has gone on without this member: it joins again, and the records come again.
        System.err.println(error);
      } catch (RebalanceInProgressException error) {
        // Between two generations nobody commits: the next time.
        return;
      }
      uncommitted.clear();
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
      report("assigned", partitions);
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
      commit();
      uncommitted.keySet().removeAll(partitions);
      report("revoked", partitions);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
      uncommitted.clear();
      report("revoked", partitions);
    }

    private static void report(String what, Collection<TopicPartition> partitions) {
      ObjectNode line = JSON.createObjectNode();
      ArrayNode numbers = line.putArray(what);
      partitions.stream().map(TopicPartition::partition).sorted().forEach(numbers::add);
      print(line);
      OUTPUT.flush();
    }
  }

  private static int transact(JsonNode options) throws InterruptedException {
    Map<String, Object> config = consumerConfig(options);
    config.put(ConsumerConfig.GROUP_ID_CONFIG, options.get("group").asText());
    config.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
    config.put(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, 6000);
    config.put(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, 500);
    config.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 200);
    Map<String, Object> producerConfig = producerConfig(options);
    producerConfig.put(ProducerConfig.TRANSACTIONAL_ID_CONFIG, options.get("transactionalId").asText());
    producerConfig.put(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG, 20_000);
    Thread stop = stopRequest();
    int transactions = 0;
    while (stop.isAlive()) {
      try (Consumer<byte[], byte[]> consumer = new KafkaConsumer<>(config);
          Producer<byte[], byte[]> producer = new KafkaProducer<>(producerConfig)) {
        producer.initTransactions();
        consumer.subscribe(List.of(options.get("from").asText()));
        while (stop.isAlive()) {
          ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
          if (records.isEmpty()) continue;
          try {
            producer.beginTransaction();
            transform(records, producer, options.get("to").asText());
            producer.sendOffsetsToTransaction(records.nextOffsets(), consumer.groupMetadata());
            if (++transactions % 7 == 0) {
              producer.abortTransaction();
              rewind(consumer);
            } else {
              producer.commitTransaction();
              print(JSON.createObjectNode().put("committed", records.count()));
              OUTPUT.flush();
            }
          } catch (ProducerFencedException | OutOfOrderSequenceException | AuthorizationException error) {
            throw error;
          } catch (KafkaException error) {
            System.err.println(error);
            producer.abortTransaction();
            rewind(consumer);
          }
        }
      } catch (KafkaException error) {
        // Both are made anew; what was not committed is done again.
        System.err.println(error);
        Thread.sleep(200);
      }
    }
    return 0;
  }

  private static void transform(ConsumerRecords<byte[], byte[]> records, Producer<byte[], byte[]> producer, String to) {
    for (ConsumerRecord<byte[], byte[]> record : records) {
      String value = record.value() == null ? "" : new String(record.value(), StandardCharsets.UTF_8);
      producer.send(new ProducerRecord<>(to, record.partition(), record.key(), bytes(value + "!"), record.headers()));
    }
  }

  /** Back to what is committed: what was aborted comes again. */
  private static void rewind(Consumer<byte[], byte[]> consumer) {
    Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(consumer.assignment());
    List<TopicPartition> unread = new ArrayList<>();
    for (TopicPartition partition : consumer.assignment()) {
      if (committed.get(partition) == null) unread.add(partition);
      else consumer.seek(partition, committed.get(partition));
    }
    if (!unread.isEmpty()) consumer.seekToBeginning(unread);
  }

  private static Map<String, Object> producerConfig(JsonNode options) {
    Map<String, Object> config = new HashMap<>();
    config.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("bootstrap").asText());
    config.put(ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class);
    config.put(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class);
    return config;
  }

  private static Map<String, Object> consumerConfig(JsonNode options) {
    Map<String, Object> config = new HashMap<>();
    config.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("bootstrap").asText());
    config.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
    config.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
    config.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    config.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
    return config;
  }

  /** A thread that lives until "stop" or the end of standard input was read. */
  private static Thread stopRequest() {
    Thread reader =
        new Thread(
            () -> {
              try {
                BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
                for (String line = ""; line != null && !line.equals("stop"); ) line = lines.readLine();
              } catch (java.io.IOException error) {
                System.err.println(error);
              }
            });
    reader.setDaemon(true);
    reader.start();
    return reader;
  }

  private static TopicPartition partitionOf(ConsumerRecord<byte[], byte[]> record) {
    return new TopicPartition(record.topic(), record.partition());
  }

  /** The number of a test record: in its header, or in its value; -1 where neither has one. */
  private static long numberOf(ConsumerRecord<byte[], byte[]> record) {
    Header header = record.headers().lastHeader("n");
    byte[] text = header == null ? record.value() : header.value();
    String digits = text == null ? "" : new String(text, StandardCharsets.UTF_8).replaceAll("\\D", "");
    return digits.isEmpty() ? -1 : Long.parseLong(digits);
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static String base64(byte[] bytes) {
    return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
  }

  private static void print(ObjectNode line) {
    OUTPUT.println(line);
  }
}
