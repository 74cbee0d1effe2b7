// The benchmark's own load client. It is C because broker and client share two cores here: a client in Node.js would
// take most of one and would then be what is measured. bench/native-client.ts compiles it and explains its output.
//
//   load publish json|nats|redis PORT REQUEST-FILE PRELUDE-FILE|- WINDOW WARM-UP REQUESTS SERVER-PID
//   load fetch PORT TOPIC MAX-BYTES RECORDS SERVER-PID
//   load wake PORT TOPIC OFFSET WAITERS PARK-MS PRODUCE-FRAME-FILE SERVER-PID
//   load touch MEGABYTES
//
// Each prints one line of JSON on stdout, or a sentence on stderr and leaves with 1.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define RECEIVE_BYTES (4 << 20)
#define ANSWER_WAIT_MS 20000
#define REQUESTS_PER_WRITE 64

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static double own_cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

// CPU time of all threads of a process, in nanosecond steps (/proc/PID/stat counts in hundredths of a second).
static double server_cpu_seconds(int pid) {
  char path[128];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *tasks = opendir(path);
  if (!tasks) return 0;
  double total = 0;
  for (struct dirent *task; (task = readdir(tasks));) {
    if (task->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", pid, task->d_name);
    FILE *file = fopen(path, "r");
    unsigned long long nanoseconds;
    if (file && fscanf(file, "%llu", &nanoseconds) == 1) total += nanoseconds * 1e-9;
    if (file) fclose(file);
  }
  closedir(tasks);
  return total;
}

static char *read_file(const char *path, long *length) {
  int file = open(path, O_RDONLY);
  if (file < 0) fail("Cannot open %s: %s", path, strerror(errno));
  *length = lseek(file, 0, SEEK_END);
  char *bytes = malloc(*length + 1);
  if (pread(file, bytes, *length, 0) != *length) fail("Cannot read %s: %s", path, strerror(errno));
  bytes[*length] = 0;
  close(file);
  return bytes;
}

static int connect_to(int port) {
  int socket_fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (connect(socket_fd, (void *)&address, sizeof address)) fail("Cannot connect to port %d: %s", port, strerror(errno));
  setsockopt(socket_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return socket_fd;
}

static void write_all(int fd, const char *bytes, long length) {
  while (length > 0) {
    long written = write(fd, bytes, length);
    if (written < 0) fail("Cannot write: %s", strerror(errno));
    bytes += written;
    length -= written;
  }
}

static int compare_floats(const void *a, const void *b) {
  float left = *(const float *)a, right = *(const float *)b;
  return left < right ? -1 : left > right;
}

static float percentile(const float *sorted, long count, double share) {
  long index = (long)(count * share);
  return sorted[index < count ? index : count - 1];
}

// ---- Answers of the three protocols -------------------------------------------------------------------------------

typedef enum { INCOMPLETE, ANSWER, REFUSAL, NOTHING, SERVER_PING, FATAL } kind;

// Looks at the first `have` bytes of what the server sent, says what they begin with, and how long that is.
typedef kind (*answer_parser)(const char *bytes, long have, long *length);

// JSON door: type u8, length u32 big endian, payload.
static kind parse_json_answer(const char *bytes, long have, long *length) {
  if (have < 5) return INCOMPLETE;
  uint32_t payload;
  memcpy(&payload, bytes + 1, 4);
  *length = 5 + (long)ntohl(payload);
  if (have < *length) return INCOMPLETE;
  return *length > 13 && !memcmp(bytes + 5, "{\"error\"", 8) ? REFUSAL : ANSWER;
}

// NATS: lines; MSG is followed by as many bytes as its last word says. A JetStream acknowledgement is such a message.
static kind parse_nats_answer(const char *bytes, long have, long *length) {
  const char *end = memchr(bytes, '\n', have);
  if (!end) return INCOMPLETE;
  *length = end - bytes + 1;
  if (!memcmp(bytes, "PING", 4)) return SERVER_PING;
  if (!memcmp(bytes, "-ERR", 4)) return FATAL;
  if (memcmp(bytes, "MSG ", 4)) return NOTHING;
  const char *word = end;
  while (word[-1] != ' ') word--;
  const char *payload = end + 1;
  *length += atol(word) + 2;
  if (have < *length) return INCOMPLETE;
  return !memcmp(payload, "{\"error\"", 8) ? REFUSAL : ANSWER;
}

// Redis: XADD is answered by a bulk string with the new entry's id, or by an error line.
static kind parse_redis_answer(const char *bytes, long have, long *length) {
  const char *end = memchr(bytes, '\n', have);
  if (!end) return INCOMPLETE;
  *length = end - bytes + 1;
  if (bytes[0] == '-') return REFUSAL;
  if (bytes[0] != '$') return ANSWER;
  *length += atol(bytes + 1) + 2;
  return have < *length ? INCOMPLETE : ANSWER;
}

// ---- publish: the same request over and over, WINDOW of them unanswered at any time -------------------------------

static int publish(char **arguments) {
  const char *protocol = arguments[0];
  answer_parser parse = !strcmp(protocol, "json")   ? parse_json_answer
                        : !strcmp(protocol, "nats") ? parse_nats_answer
                                                    : parse_redis_answer;
  int fd = connect_to(atoi(arguments[1]));
  long request_bytes, prelude_bytes;
  char *request = read_file(arguments[2], &request_bytes);
  if (strcmp(arguments[3], "-")) {
    char *prelude = read_file(arguments[3], &prelude_bytes);
    write_all(fd, prelude, prelude_bytes);
  }
  long window = atol(arguments[4]), warm_up = atol(arguments[5]), measured = atol(arguments[6]);
  int server = atoi(arguments[7]);
  fcntl(fd, F_SETFL, O_NONBLOCK);

  long total = warm_up + measured, sent = 0, sent_bytes_of_next = 0, answered = 0, refused = 0, have = 0;
  double *sent_at = malloc(window * sizeof(double));
  float *latency = malloc((measured + 1) * sizeof(float));
  char *received = malloc(RECEIVE_BYTES), first_refusal[400] = "";
  struct iovec pieces[REQUESTS_PER_WRITE];
  double started = now(), own_cpu = own_cpu_seconds(), server_cpu = server_cpu_seconds(server);

  while (answered < total) {
    int is_blocked = 0;
    while (!is_blocked && (sent_bytes_of_next || (sent < total && sent - answered < window))) {
      long room = window - (sent - answered), count = 0;
      if (room > total - sent) room = total - sent;
      if (room > REQUESTS_PER_WRITE) room = REQUESTS_PER_WRITE;
      double time = now();
      for (; count < room; count++) {
        long skip = count == 0 ? sent_bytes_of_next : 0;
        pieces[count] = (struct iovec){request + skip, request_bytes - skip};
        if (!skip) sent_at[(sent + count) % window] = time;
      }
      long written = writev(fd, pieces, count);
      if (written < 0) {
        if (errno != EAGAIN) fail("Cannot write after %ld requests: %s", sent, strerror(errno));
        is_blocked = 1;
        break;
      }
      written += sent_bytes_of_next;
      sent += written / request_bytes;
      sent_bytes_of_next = written % request_bytes;
      is_blocked = sent_bytes_of_next > 0;
    }

    struct pollfd wanted = {fd, POLLIN | (is_blocked ? POLLOUT : 0), 0};
    if (poll(&wanted, 1, ANSWER_WAIT_MS) == 0) fail("No answer for %d ms after %ld of %ld", ANSWER_WAIT_MS, answered, total);
    if (!(wanted.revents & ~POLLOUT)) continue;
    long length = read(fd, received + have, RECEIVE_BYTES - have), at = 0;
    if (length == 0) fail("The server closed the connection after %ld answers", answered);
    if (length < 0) {
      if (errno == EAGAIN) continue;
      fail("Cannot read after %ld answers: %s", answered, strerror(errno));
    }
    have += length;
    double time = now();
    for (;;) {
      kind what = parse(received + at, have - at, &length);
      if (what == INCOMPLETE) break;
      if (what == FATAL) fail("The server said %.*s", (int)length, received + at);
      if (what == SERVER_PING) write_all(fd, "PONG\r\n", 6);
      if (what == REFUSAL && refused++ == 0) snprintf(first_refusal, sizeof first_refusal, "%.*s", (int)length - 5, received + at + 5);
      if (what == ANSWER || what == REFUSAL) {
        if (answered >= warm_up) latency[answered - warm_up] = (time - sent_at[answered % window]) * 1e6;
        if (++answered == warm_up) {
          started = now();
          own_cpu = own_cpu_seconds();
          server_cpu = server_cpu_seconds(server);
        }
      }
      at += length;
    }
    have -= at;
    memmove(received, received + at, have);
  }

  double seconds = now() - started;
  own_cpu = own_cpu_seconds() - own_cpu;
  server_cpu = server_cpu_seconds(server) - server_cpu;
  if (refused) fail("%ld of %ld requests were refused, the first with %s", refused, total, first_refusal);
  qsort(latency, measured, sizeof(float), compare_floats);
  printf("{\"requests\":%ld,\"seconds\":%.6f,\"p50Us\":%.1f,\"p99Us\":%.1f,\"maxUs\":%.1f,\"clientCores\":%.3f,\"serverCores\":%.3f}\n",
         measured, seconds, percentile(latency, measured, 0.5), percentile(latency, measured, 0.99), latency[measured - 1],
         own_cpu / seconds, server_cpu / seconds);
  return 0;
}

// ---- JSON door: one request and its whole answer ------------------------------------------------------------------

static long make_fetch(char *frame, const char *topic, long offset, long max_bytes, long max_wait_ms) {
  int payload = sprintf(frame + 5, "{\"topic\":\"%s\",\"partition\":0,\"offset\":%ld,\"maxBytes\":%ld,\"maxWaitMs\":%ld}", topic, offset,
                        max_bytes, max_wait_ms);
  uint32_t length = htonl(payload);
  frame[0] = 3;
  memcpy(frame + 1, &length, 4);
  return 5 + payload;
}

// Reads one whole frame into `into`, which holds `room` bytes; returns its length.
static long read_frame(int fd, char *into, long room) {
  long have = 0, length = 0;
  for (;;) {
    long got = read(fd, into + have, room - have);
    if (got == 0) fail("The server closed the connection");
    if (got < 0) fail("Cannot read: %s", strerror(errno));
    have += got;
    kind what = parse_json_answer(into, have, &length);
    if (what == REFUSAL) fail("The server refused: %.*s", (int)(length - 5), into + 5);
    if (what == ANSWER) return length;
    if (length > room) fail("An answer of %ld bytes is too long", length);
  }
}

// A consumer that asks for what follows the last record that it got, from offset 0 until it has seen RECORDS of them.
static int fetch(char **arguments) {
  int fd = connect_to(atoi(arguments[0])), server = atoi(arguments[4]);
  const char *topic = arguments[1];
  long max_bytes = atol(arguments[2]), records = atol(arguments[3]), next = 0, requests = 0, room = 64 << 20, wire_bytes = 0;
  char *answer = malloc(room), frame[1024];
  float *latency = malloc((records + 1) * sizeof(float));
  double started = now(), own_cpu = own_cpu_seconds(), server_cpu = server_cpu_seconds(server);
  while (next < records) {
    double asked = now();
    write_all(fd, frame, make_fetch(frame, topic, next, max_bytes, 0));
    long length = read_frame(fd, answer, room);
    wire_bytes += length;
    latency[requests++] = (now() - asked) * 1e6;
    const char *at = answer + length;
    while (at > answer + 5 && memcmp(at, "\"offset\":", 9)) at--;
    if (at <= answer + 5) fail("A fetch from offset %ld brought no records", next);
    long last = atol(at + 9);
    if (last < next) fail("A fetch from offset %ld ended with offset %ld", next, last);
    next = last + 1;
  }
  double seconds = now() - started;
  own_cpu = own_cpu_seconds() - own_cpu;
  server_cpu = server_cpu_seconds(server) - server_cpu;
  qsort(latency, requests, sizeof(float), compare_floats);
  printf("{\"requests\":%ld,\"records\":%ld,\"wireBytes\":%ld,\"seconds\":%.6f,\"p50Us\":%.1f,\"p99Us\":%.1f,\"maxUs\":%.1f,"
         "\"clientCores\":%.3f,\"serverCores\":%.3f}\n",
         requests, next, wire_bytes, seconds, percentile(latency, requests, 0.5), percentile(latency, requests, 0.99),
         latency[requests - 1], own_cpu / seconds, server_cpu / seconds);
  return 0;
}

// ---- wake: many connections wait for one record -------------------------------------------------------------------

typedef struct {
  int fd;
  long have;
  char bytes[2048];
} waiter;

static int wake(char **arguments) {
  int port = atoi(arguments[0]), count = atoi(arguments[3]), server = atoi(arguments[6]);
  const char *topic = arguments[1];
  long offset = atol(arguments[2]), park_ms = atol(arguments[4]), produce_bytes;
  char *produce = read_file(arguments[5], &produce_bytes), frame[1024], answer[4096];
  long fetch_bytes = make_fetch(frame, topic, offset, 1 << 20, park_ms + 2000);
  struct rlimit files = {count + 64, count + 64};
  setrlimit(RLIMIT_NOFILE, &files);
  int poller = epoll_create1(0);
  waiter *waiters = calloc(count, sizeof *waiters);
  float *latency = malloc(count * sizeof(float));
  int producer = connect_to(port);
  for (int i = 0; i < count; i++) {
    waiters[i].fd = connect_to(port);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &waiters[i]};
    epoll_ctl(poller, EPOLL_CTL_ADD, waiters[i].fd, &event);
    write_all(waiters[i].fd, frame, fetch_bytes);
  }
  struct epoll_event events[256];
  usleep(500 * 1000);
  double park_started = now(), server_cpu = server_cpu_seconds(server);
  if (epoll_wait(poller, events, 256, park_ms)) fail("A fetch that should wait was answered early");
  double parked_cores = (server_cpu_seconds(server) - server_cpu) / (now() - park_started);

  server_cpu = server_cpu_seconds(server);
  double produced = now();
  write_all(producer, produce, produce_bytes);
  int answered = 0;
  while (answered < count) {
    int ready = epoll_wait(poller, events, 256, ANSWER_WAIT_MS);
    if (ready == 0) fail("Only %d of %d waiting fetches were answered", answered, count);
    for (int i = 0; i < ready; i++) {
      waiter *one = events[i].data.ptr;
      long got = read(one->fd, one->bytes + one->have, sizeof one->bytes - one->have), length;
      if (got <= 0) fail("A waiting connection was closed");
      one->have += got;
      kind what = parse_json_answer(one->bytes, one->have, &length);
      if (what == INCOMPLETE) continue;
      if (what == REFUSAL || !memmem(one->bytes, one->have, "\"offset\":", 9)) {
        fail("A waiting fetch brought no record: %.*s", (int)(one->have - 5), one->bytes + 5);
      }
      latency[answered++] = (now() - produced) * 1e6;
    }
  }
  server_cpu = server_cpu_seconds(server) - server_cpu;
  read_frame(producer, answer, sizeof answer);
  qsort(latency, count, sizeof(float), compare_floats);
  printf("{\"waiters\":%d,\"p50Us\":%.1f,\"p99Us\":%.1f,\"maxUs\":%.1f,\"parkedCores\":%.5f,\"wakeCpuMs\":%.3f}\n", count,
         percentile(latency, count, 0.5), percentile(latency, count, 0.99), latency[count - 1], parked_cores, server_cpu * 1000);
  return 0;
}

// ---- touch: memory that a virtual machine has not used lately is slow to get; this pays for it beforehand ----------

static int touch(char **arguments) {
  size_t bytes = (size_t)atol(arguments[0]) << 20;
  double started = now();
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("Cannot get %s MB of memory", arguments[0]);
  for (size_t at = 0; at < bytes; at += 4096) memory[at] = 1;
  printf("{\"seconds\":%.6f,\"megabytesPerSecond\":%.0f}\n", now() - started, bytes / (now() - started) / 1e6);
  return 0;
}

int main(int count, char **arguments) {
  if (count == 10 && !strcmp(arguments[1], "publish")) return publish(arguments + 2);
  if (count == 7 && !strcmp(arguments[1], "fetch")) return fetch(arguments + 2);
  if (count == 9 && !strcmp(arguments[1], "wake")) return wake(arguments + 2);
  if (count == 3 && !strcmp(arguments[1], "touch")) return touch(arguments + 2);
  fail("Usage: load publish|fetch|wake|touch …: the head of load.c says which arguments");
}
