import json
import subprocess
import unittest
import urllib.request
from pathlib import Path

from orders import Orders, Refused

CAFELOG = Path(__file__).parent / "node_modules" / ".bin" / "cafelog"


class Broker:
    """A broker in memory, on free ports, for one test."""

    def __init__(self):
        command = [CAFELOG, "--ephemeral", "--port", "0", "--print-addresses", "json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.addresses = json.loads(self.process.stdout.readline())

    def post(self, path, **body):
        url = f"http://{self.addresses['http']}{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


class OrdersTest(unittest.TestCase):
    def setUp(self):
        self.broker = Broker()
        self.addCleanup(self.broker.close)
        self.orders = Orders(self.broker.addresses["json"])
        self.addCleanup(self.orders.close)

    def test_what_was_sent_can_be_read(self):
        self.orders.send("flat white")
        self.orders.send("espresso")
        self.assertEqual(self.orders.read(), ["flat white", "espresso"])

    def test_an_order_is_sent_again_when_the_broker_cannot_store_it(self):
        self.broker.post("/test/faults", request="PRODUCE", fail="INTERNAL_IO_ERROR", times=2)
        self.assertEqual(self.orders.send("flat white"), 0)
        self.broker.post("/test/faults", request="PRODUCE", fail="INTERNAL_IO_ERROR", times=3)
        with self.assertRaises(Refused):
            self.orders.send("espresso")

    def test_orders_are_forgotten_after_a_week(self):
        self.orders.send("flat white")
        self.broker.post("/test/clock/advance", by="8d")
        self.assertEqual(self.orders.read(), [])


if __name__ == "__main__":
    unittest.main()
