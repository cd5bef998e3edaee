"""A name server for tests: answers what it was told, on UDP and TCP of one loopback port, from a thread.

    with NameServer() as names:
        names.set("app.example", "A", ["127.0.0.1"], ttl=5)
        names.set("_app._tcp.example", "SRV", [(1, 10, 8080, "app.example")])
        names.alias("www.example", "app.example", ttl=1)
        names.fail("gone.example", "NXDOMAIN")      # or SERVFAIL, REFUSED, FORMERR
        names.misbehave("slow.example", "silent")   # or garbage, bad_records, other_question, circle
        names.cut("long.example")                   # UDP says TC, TCP tells all

What is set replaces what was, and holds for the next question. Of a name that is known, a type that was not set has no
records; a name that is not known does not exist. `names.questions` holds (name, type, transport) in order."""

import ipaddress
import socket
import struct
import threading

TYPES = {"A": 1, "CNAME": 5, "AAAA": 28, "SRV": 33}
RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "REFUSED": 5}
QUESTION = 12  # where it begins, for pointers
CHAIN_MAX = 20
BIND_TRIES = 20


def name_bytes(name):
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def data_bytes(kind, value):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(value).packed
    if kind == "SRV":
        return struct.pack(">HHH", *value[:3]) + name_bytes(value[3])
    return name_bytes(value)


def record(name, kind, ttl, data):
    return name + struct.pack(">HHIH", TYPES[kind], 1, ttl, len(data)) + data


def both_sockets(host):
    """TCP and UDP on one port; None if another has taken the port for UDP."""
    tcp, udp = socket.create_server((host, 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.bind(tcp.getsockname())
    except OSError:
        tcp.close()
        udp.close()
        return None
    return tcp, udp


class NameServer:
    def __init__(self, host="127.0.0.1"):
        self.lock = threading.Condition()
        self.records, self.aliases, self.failures, self.habits, self.cuts = {}, {}, {}, {}, set()
        self.questions = []
        self.tcp, self.udp = next(filter(None, (both_sockets(host) for _ in range(BIND_TRIES))))
        self.port = self.tcp.getsockname()[1]
        self.address = f"{host}:{self.port}"
        self.threads = [threading.Thread(target=serve, daemon=True) for serve in (self.serve_udp, self.serve_tcp)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for end in (self.udp, self.tcp):
            try:
                end.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits there
            except OSError:
                pass  # UDP is not connected, and is woken all the same
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()

    # --- what it answers ---

    def set(self, name, kind, values, ttl=60):
        with self.lock:
            self.forget(name, (kind,))
            self.records[name.lower(), kind] = [(ttl, data_bytes(kind, value)) for value in values]

    def alias(self, name, target, ttl=60):
        with self.lock:
            self.forget(name)
            self.aliases[name.lower()] = (ttl, target)

    def fail(self, name, rcode):
        with self.lock:
            self.forget(name)
            self.failures[name.lower()] = RCODES[rcode]

    def misbehave(self, name, habit, kinds=("A", "AAAA", "SRV")):
        """Other kinds are answered as before."""
        with self.lock:
            for kind in kinds:
                self.habits[name.lower(), kind] = habit

    def cut(self, name):
        with self.lock:
            self.cuts.add(name.lower())

    def forget(self, name, kinds=("A", "AAAA", "SRV")):
        self.aliases.pop(name.lower(), None)
        self.failures.pop(name.lower(), None)
        for kind in kinds:
            self.habits.pop((name.lower(), kind), None)
            self.records.pop((name.lower(), kind), None)

    def wait_for_questions(self, name, count, timeout=10):
        """Until `name` was asked for `count` times, of whatever type."""
        with self.lock:
            return self.lock.wait_for(lambda: sum(q[0] == name.lower() for q in self.questions) >= count, timeout)

    # --- serving ---

    def serve_udp(self):
        while True:
            try:
                question, sender = self.udp.recvfrom(65536)
            except OSError:
                return
            if not sender:
                return  # shut down
            answer = self.answer(question, "udp")
            if answer is not None:
                self.udp.sendto(answer, sender)

    def serve_tcp(self):
        while True:
            try:
                client, _ = self.tcp.accept()
            except OSError:
                return
            with client:
                client.settimeout(5)
                try:
                    while True:
                        size = client.recv(2, socket.MSG_WAITALL)
                        if len(size) < 2:
                            break
                        question = client.recv(struct.unpack(">H", size)[0], socket.MSG_WAITALL)
                        answer = self.answer(question, "tcp")
                        if answer is None:
                            break
                        client.sendall(struct.pack(">H", len(answer)) + answer)
                except OSError:
                    pass  # the client has gone

    def answer(self, message, transport):
        if len(message) < QUESTION + 5:
            return None
        labels, at = [], QUESTION
        while message[at]:
            labels.append(message[at + 1 : at + 1 + message[at]].decode().lower())
            at += message[at] + 1
        name, number = ".".join(labels), struct.unpack(">H", message[at + 1 : at + 3])[0]
        kind = next((kind for kind, value in TYPES.items() if value == number), str(number))
        with self.lock:
            self.questions.append((name, kind, transport))
            self.lock.notify_all()
            return self.decide(name, kind, message[:2], message[QUESTION : at + 5], transport)

    def decide(self, name, kind, number, question, transport):
        habit = self.habits.get((name, kind))
        if habit:
            return self.misbehaviour(habit, number, question)
        if name in self.cuts and transport == "udp":
            return self.message(number, question, [], flags=0x0200)
        records, owner = [], name_bytes(name)
        for _ in range(CHAIN_MAX):
            if name in self.failures:
                return self.message(number, question, records, self.failures[name])
            if name not in self.aliases:
                break
            ttl, target = self.aliases[name]
            records.append(record(owner, "CNAME", ttl, name_bytes(target)))
            name, owner = target.lower(), name_bytes(target)
        known = any(name == known for known, _ in list(self.records) + list(self.habits))
        records += [record(owner, kind, ttl, data) for ttl, data in self.records.get((name, kind), [])]
        return self.message(number, question, records, RCODES["NOERROR" if known else "NXDOMAIN"])

    def misbehaviour(self, habit, number, question):
        if habit == "silent":
            return None
        if habit == "garbage":
            return number + b"\xff" * 40
        if habit == "other_question":
            return self.message(number, name_bytes("other.example") + question[-4:], [])
        here = b"\xc0\x0c"
        if habit == "circle":
            return self.message(number, question, [record(here, "CNAME", 60, here)])
        assert habit == "bad_records", habit
        return self.message(number, question, [here + question[-4:] + b"\0\0\0\x3c\0\x03abc"])

    @staticmethod
    def message(number, question, records, rcode=0, flags=0):
        head = struct.pack(">HHHHH", 0x8180 | flags | rcode, 1, len(records), 0, 0)
        return number + head + question + b"".join(records)
