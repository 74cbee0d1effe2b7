"""What both agents share: the test records, and the lines that they print. ../README.md says what an agent is."""

import base64
import json
import re
import sys
import threading
import time

IDLE_SECONDS_MAX = 30


class CannotDo(Exception):
    """Something that this client has not got."""


def test_record(i):
    """Test record i, as ../README.md defines it: key, value, headers, timestamp."""
    key = None if i % 11 == 0 else b"key-%d" % (i % 97)
    value = None if i % 13 == 0 else b"value-%d-" % i + b"x" * (i % 200)
    headers = [("n", str(i).encode())]
    if i % 3 == 0:
        headers.append(("empty", b""))
    return key, value, headers, 1_700_000_000_000 + i


def write(value):
    sys.stdout.write(json.dumps(value, separators=(",", ":")) + "\n")


def say(value):
    write(value)
    sys.stdout.flush()


def base64_of(data):
    return None if data is None else base64.b64encode(data).decode()


def write_record(partition, offset, key, value, headers, timestamp):
    pairs = [[name, base64_of(data)] for name, data in headers or []]
    write({"p": partition, "o": offset, "k": base64_of(key), "v": base64_of(value), "h": pairs, "t": timestamp})


def number_of(headers, value):
    """The number of a test record, from its header or its value."""
    for name, data in headers or []:
        if name == "n":
            return int(data)
    found = re.search(rb"\d+", value or b"")
    return int(found.group()) if found else -1


class Idle:
    """Ends the program when nothing has come for too long."""

    def __init__(self):
        self.seen_at = time.monotonic()

    def seen(self, count):
        now = time.monotonic()
        if count > 0:
            self.seen_at = now
        elif now - self.seen_at > IDLE_SECONDS_MAX:
            sys.stdout.flush()
            print(f"no record for {IDLE_SECONDS_MAX} seconds", file=sys.stderr)
            sys.exit(4)


def stop_event():
    """An event that is set when the line "stop" comes on standard input, or when that ends."""
    stopped = threading.Event()

    def read():
        for line in sys.stdin:
            if line.strip() == "stop":
                break
        stopped.set()

    threading.Thread(target=read, daemon=True).start()
    return stopped


def run(commands):
    """Runs the command that the words of the command line ask for."""
    name, parameters = sys.argv[1], json.loads(sys.argv[2])
    try:
        if name not in commands:
            raise CannotDo(f"there is no command {name}: {', '.join(commands)}")
        commands[name](parameters)
        sys.stdout.flush()
    except CannotDo as error:
        print(error, file=sys.stderr)
        sys.exit(3)
