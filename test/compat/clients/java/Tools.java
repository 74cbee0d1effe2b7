import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.common.utils.Exit;

/**
 * Kafka's command line tools, many of them in one JVM, because its start takes longer than any of them. Reads a line of
 * JSON for each: {"arguments": ["kafka-topics", "--list", ...], "input": "its standard input"}, and writes one back:
 * {"exit": 0, "output": "...", "errors": "..."}.
 */
public final class Tools {
  /** What the scripts in the folder bin of Kafka's distribution start. */
  private static final Map<String, String> CLASSES =
      Map.ofEntries(
          Map.entry("kafka-acls", "org.apache.kafka.tools.AclCommand"),
          Map.entry("kafka-broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
          Map.entry("kafka-cluster", "org.apache.kafka.tools.ClusterTool"),
          Map.entry("kafka-configs", "kafka.admin.ConfigCommand"),
          Map.entry("kafka-console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
          Map.entry("kafka-console-producer", "org.apache.kafka.tools.ConsoleProducer"),
          Map.entry("kafka-consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
          Map.entry("kafka-consumer-perf-test", "org.apache.kafka.tools.ConsumerPerformance"),
          Map.entry("kafka-delete-records", "org.apache.kafka.tools.DeleteRecordsCommand"),
          Map.entry("kafka-dump-log", "org.apache.kafka.tools.DumpLogSegments"),
          Map.entry("kafka-features", "org.apache.kafka.tools.FeatureCommand"),
          Map.entry("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
          Map.entry("kafka-groups", "org.apache.kafka.tools.GroupsCommand"),
          Map.entry("kafka-leader-election", "org.apache.kafka.tools.LeaderElectionCommand"),
          Map.entry("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
          Map.entry("kafka-producer-perf-test", "org.apache.kafka.tools.ProducerPerformance"),
          Map.entry("kafka-reassign-partitions", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"),
          Map.entry("kafka-storage", "kafka.tools.StorageTool"),
          Map.entry("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
          Map.entry("kafka-transactions", "org.apache.kafka.tools.TransactionsCommand"));

  /** Writes to whatever is the target at the moment: libraries keep the first System.out that they see. */
  private static final class Redirected extends OutputStream {
    volatile OutputStream target;

    Redirected(OutputStream target) {
      this.target = target;
    }

    @Override
    public void write(int one) throws java.io.IOException {
      target.write(one);
    }

    @Override
    public void write(byte[] bytes, int from, int count) throws java.io.IOException {
      target.write(bytes, from, count);
    }

    @Override
    public void flush() throws java.io.IOException {
      target.flush();
    }
  }

  private static final BlockingQueue<Integer> EXITS = new LinkedBlockingQueue<>();
  private static final BlockingQueue<Runnable> HOOKS = new LinkedBlockingQueue<>();
  private static final Redirected OUTPUT = new Redirected(OutputStream.nullOutputStream());
  private static final Redirected ERRORS = new Redirected(new FileOutputStream(FileDescriptor.err));

  public static void main(String[] none) throws Exception {
    PrintStream answers = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    System.setOut(new PrintStream(OUTPUT, true, StandardCharsets.UTF_8));
    System.setErr(new PrintStream(ERRORS, true, StandardCharsets.UTF_8));
    Exit.setExitProcedure((code, message) -> end(code, message));
    Exit.setHaltProcedure((code, message) -> end(code, message));
    Exit.setShutdownHookAdder((name, hook) -> HOOKS.add(hook));
    ObjectMapper json = new ObjectMapper();
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      answers.println(json.writeValueAsString(run(json.readTree(line))));
    }
    System.exit(0);
  }

  /** Where a tool would end its process: its thread does nothing any more, so that nothing else is printed. */
  private static void end(int code, String message) {
    if (message != null) System.err.println(message);
    EXITS.add(code);
    for (;;) LockSupport.park();
  }

  private static Map<String, Object> run(JsonNode command) throws InterruptedException {
    List<String> arguments = new ArrayList<>();
    command.get("arguments").forEach(argument -> arguments.add(argument.asText()));
    ByteArrayOutputStream output = new ByteArrayOutputStream();
    ByteArrayOutputStream errors = new ByteArrayOutputStream();
    System.setIn(new ByteArrayInputStream(command.path("input").asText("").getBytes(StandardCharsets.UTF_8)));
    OUTPUT.target = output;
    ERRORS.target = errors;
    Thread tool = new Thread(() -> call(arguments), arguments.get(0));
    tool.setDaemon(true);
    tool.start();
    int exit = EXITS.take();
    for (Runnable hook = HOOKS.poll(); hook != null; hook = HOOKS.poll()) hook.run();
    System.out.flush();
    System.err.flush();
    OUTPUT.target = OutputStream.nullOutputStream();
    ERRORS.target = new FileOutputStream(FileDescriptor.err);
    Map<String, Object> answer = new LinkedHashMap<>();
    answer.put("exit", exit);
    answer.put("output", output.toString(StandardCharsets.UTF_8));
    answer.put("errors", errors.toString(StandardCharsets.UTF_8));
    return answer;
  }

  private static void call(List<String> arguments) {
    try {
      String[] rest = arguments.subList(1, arguments.size()).toArray(String[]::new);
      Class.forName(CLASSES.get(arguments.get(0))).getMethod("main", String[].class).invoke(null, (Object) rest);
      EXITS.add(0);
    } catch (Throwable error) {
      Throwable shown = error instanceof InvocationTargetException ? error.getCause() : error;
      shown.printStackTrace();
      EXITS.add(1);
    }
  }
}
