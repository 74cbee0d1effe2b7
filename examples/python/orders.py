"""A program that sends orders and reads them, by CafeLog's readable protocol."""

import base64
import json
import socket
import struct

CREATE_TOPIC, PRODUCE, FETCH = 1, 2, 3


class Refused(Exception):
    pass


class Orders:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.connection = socket.create_connection((host, int(port)))
        self.stream = self.connection.makefile("rwb")
        self.ask(CREATE_TOPIC, topic="orders", partitions=1)

    def ask(self, kind, **fields):
        payload = json.dumps(fields).encode()
        self.stream.write(struct.pack(">BI", kind, len(payload)) + payload)
        self.stream.flush()
        kind, length = struct.unpack(">BI", self.stream.read(5))
        answer = json.loads(self.stream.read(length))
        if "error" in answer:
            raise Refused(answer["error"]["code"])
        return answer

    def send(self, order, attempts=3):
        records = [{"value": base64.b64encode(order.encode()).decode()}]
        for attempt in range(1, attempts + 1):
            try:
                return self.ask(PRODUCE, topic="orders", partition=0, records=records)["baseOffset"]
            except Refused:
                if attempt == attempts:
                    raise

    def read(self, offset=-2):
        """The orders from an offset on; -2 is the oldest one."""
        records = self.ask(FETCH, topic="orders", partition=0, offset=offset)["records"]
        return [base64.b64decode(record["value"]).decode() for record in records]

    def close(self):
        self.stream.close()
        self.connection.close()
