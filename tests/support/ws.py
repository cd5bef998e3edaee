"""WebSocket frames (RFC 6455), made and read by hand."""

import base64
import hashlib
import os
import struct

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
UPGRADE = ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
AGREED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def mask(key, payload):
    return bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


def frame(payload=b"", opcode=BINARY, masked=False, fin=True):
    length = len(payload)
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if masked else 0
    if length < 126:
        head += bytes([bit | length])
    elif length < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", length)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", length)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + mask(key, payload)


def close(code=1000, masked=False):
    return frame(struct.pack("!H", code), CLOSE, masked)


def read_frame(exactly):
    """(opcode, payload, masked) of the next frame; `exactly(n)` gives n bytes, or raises."""
    first, second = exactly(2)
    length = second & 127
    if length >= 126:
        length = int.from_bytes(exactly(2 if length == 126 else 8), "big")
    key = exactly(4) if second & 0x80 else None
    payload = exactly(length)
    return first & 15, mask(key, payload) if key else payload, key is not None
