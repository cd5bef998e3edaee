"""What the tests of the reverse proxy share: a server in front of upstream servers, and answers read as they are framed."""

import collections

from clients import Client

# names of fields in lower case, as a list of pairs; trailers as lines; is_whole: as its framing says
Whole = collections.namedtuple("Whole", "status fields body trailers is_whole")


def config(*upstreams, pool="", proxy="", site="", top="", workers=1):
    """One site that passes everything on to the upstreams, after what `site` says."""
    lines = [f"workers {workers}", "control {control}", "drain 5s", top, "pool app {"]
    lines += [f"    server {getattr(upstream, 'address', upstream)}" for upstream in upstreams]
    lines += [pool, "}", "site 127.0.0.1:{port} {", site, "    proxy app {", proxy, "    }", "}", ""]
    return "\n".join(lines)


def value(fields, name):
    values = [text for field, text in fields if field == name]
    assert len(values) < 2, f"{name} stands there {len(values)} times: {values}"
    return values[0] if values else None


def read_head(client):
    """Status and fields; None if the connection ends before."""
    line = client.file.readline()
    if not line:
        return None
    fields = []
    while (field := client.file.readline()) not in (b"\r\n", b""):
        assert field.endswith(b"\r\n"), field
        name, _, text = field.decode("latin-1").partition(":")
        fields.append((name.lower(), text.strip()))
    return int(line.split()[1]), fields


def read_chunks(client):
    """Body, trailers, and whether the end was there."""
    parts, trailers = [], []
    while True:
        line = client.file.readline()
        if not line.endswith(b"\r\n"):
            return b"".join(parts), trailers, False
        size = int(line, 16)
        if not size:
            break
        data = client.file.read(size + 2)
        parts.append(data[:size])
        if len(data) != size + 2:
            return b"".join(parts), trailers, False
        assert data.endswith(b"\r\n")
    while (line := client.file.readline()) != b"\r\n":
        if not line.endswith(b"\r\n"):
            return b"".join(parts), trailers, False
        trailers.append(line.decode("latin-1").rstrip("\r\n"))
    return b"".join(parts), trailers, True


def read_answer(client, method="GET"):
    """The next final answer; None if the connection ends instead. A reset raises ConnectionResetError."""
    head = read_head(client)
    if head is None:
        return None
    status, fields = head
    if method == "HEAD" or status < 200 or status in (204, 304):
        return Whole(status, fields, b"", [], True)
    if value(fields, "transfer-encoding") == "chunked":
        return Whole(status, fields, *read_chunks(client))
    if (length := value(fields, "content-length")) is not None:
        body = client.file.read(int(length))
        return Whole(status, fields, body, [], len(body) == int(length))
    return Whole(status, fields, client.file.read(), [], True)


def ask(to, data, method="GET", **options):
    """Sends these bytes on a connection of its own; the answer."""
    with Client(to, **options) as client:
        client.send_bytes(data)
        return read_answer(client, method)


def is_at_rest(server):
    """Whether nothing is under way and nothing is held: blocks but those of idle connections."""
    workers = server.status()["workers"]
    return all(worker["blocks"] == 0 for worker in workers)
