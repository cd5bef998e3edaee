"""Headers of the PROXY protocol, made and read without the server's help, after haproxy's proxy-protocol.txt."""

import collections
import socket
import struct

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

# of one that was read: addresses as text; version 1 or 2; client and server None where they are not told
Header = collections.namedtuple("Header", "version command client server")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def v1(client=("192.0.2.1", 56324), server=("198.51.100.2", 443)):
    family = "TCP6" if ":" in client[0] else "TCP4"
    return f"PROXY {family} {client[0]} {server[0]} {client[1]} {server[1]}\r\n".encode()


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def v2(client=("192.0.2.1", 56324), server=("198.51.100.2", 443), tlvs=b"", command=1, family=None, checksum=False):
    if family is None:
        family = socket.AF_INET6 if ":" in client[0] else socket.AF_INET
        addresses = socket.inet_pton(family, client[0]) + socket.inet_pton(family, server[0])
        addresses += struct.pack("!HH", client[1], server[1])
        family = 0x21 if family == socket.AF_INET6 else 0x11
    else:
        addresses = b"\0" * {0x31: 216}.get(family, 0)

    def whole(more):
        body = addresses + tlvs + more
        return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(body)) + body

    if not checksum:
        return whole(b"")
    return whole(tlv(3, struct.pack("!I", crc32c(whole(tlv(3, b"\0\0\0\0"))))))


LOCAL = v2(command=0, family=0)


def read_header(exactly, line):
    """Reads one from a stream: `exactly(n)` gives n bytes, `line()` one with its end."""
    first = exactly(6)
    if first == b"PROXY ":
        words = (first + line()).decode().split()
        if words[1] == "UNKNOWN":
            return Header(1, "PROXY", None, None)
        assert words[1] in ("TCP4", "TCP6") and len(words) == 6, words
        return Header(1, "PROXY", (words[2], int(words[4])), (words[3], int(words[5])))
    head = first + exactly(10)
    assert head.startswith(SIGNATURE), head
    command, family, length = struct.unpack("!BBH", head[12:])
    body = exactly(length)
    assert command >> 4 == 2, head
    if family not in (0x11, 0x21):
        return Header(2, "PROXY" if command & 15 else "LOCAL", None, None)
    kind, size = (socket.AF_INET6, 16) if family == 0x21 else (socket.AF_INET, 4)
    ports = struct.unpack("!HH", body[2 * size:2 * size + 4])
    client, server = (socket.inet_ntop(kind, body[at:at + size]) for at in (0, size))
    return Header(2, "PROXY" if command & 15 else "LOCAL", (client, ports[0]), (server, ports[1]))
