import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends records that fit and records that do not in one batch, or reads topics to their end.
 *
 * Mixed produce BOOTSTRAP CODEC TOPIC... with a batch on each line of standard input, its values between tabs: prints for each
 * topic, batch and record an offset, or the name of the exception and its message. Mixed consume BOOTSTRAP TOPIC... prints topic,
 * offset and value of each record of partition 0.
 */
public class Mixed {
  public static void main(String[] args) throws Exception {
    List<String> topics = Arrays.asList(args).subList(args[0].equals("produce") ? 3 : 2, args.length);
    if (args[0].equals("produce")) produce(args[1], args[2], topics);
    else consume(args[1], topics);
  }

  private static void produce(String bootstrap, String codec, List<String> topics) throws Exception {
    List<String> batches = new java.io.BufferedReader(new java.io.InputStreamReader(System.in)).lines().toList();
    Map<String, Object> settings = Map.of(
        "bootstrap.servers", bootstrap, "compression.type", codec, "linger.ms", "500", "batch.size", "1000000");
    try (KafkaProducer<String, String> producer =
        new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
      for (String topic : topics) {
        for (int batch = 0; batch < batches.size(); batch++) {
          List<Future<RecordMetadata>> sent = new ArrayList<>();
          for (String value : batches.get(batch).split("\t")) {
            sent.add(producer.send(new ProducerRecord<>(topic, 0, null, value)));
          }
          producer.flush();
          for (Future<RecordMetadata> one : sent) System.out.println(topic + "\t" + batch + "\t" + outcomeOf(one));
        }
      }
    }
  }

  private static String outcomeOf(Future<RecordMetadata> sent) throws InterruptedException {
    try {
      return String.valueOf(sent.get().offset());
    } catch (ExecutionException error) {
      return error.getCause().getClass().getSimpleName() + ": " + error.getCause().getMessage();
    }
  }

  private static void consume(String bootstrap, List<String> topics) {
    Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "enable.auto.commit", "false");
    try (KafkaConsumer<String, String> consumer =
        new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
      List<TopicPartition> all = topics.stream().map(topic -> new TopicPartition(topic, 0)).collect(Collectors.toList());
      consumer.assign(all);
      consumer.seekToBeginning(all);
      Map<TopicPartition, Long> ends = consumer.endOffsets(all);
      while (all.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
          System.out.println(record.topic() + "\t" + record.offset() + "\t" + record.value());
        }
      }
    }
  }
}
