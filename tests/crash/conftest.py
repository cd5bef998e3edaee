"""What the killing tests have besides: documents of known bytes, and a server that serves them on three addresses."""

import pathlib
import shutil
import subprocess
import tempfile

import holdfast
import pytest
from killers import LOGGED, TARGETS, VICTIM_CONFIG, program


@pytest.fixture(scope="session")
def documents():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hf-documents-"))
    folder.chmod(0o755)
    subprocess.run([program("mixload"), "--make-files", folder], check=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start_victim(start_server, documents, variant):
    """start_victim(workers=2, top="..."): a running server with the documents on IPv4, IPv6 and a Unix socket; its
    `targets` are the addresses for mixload and sweep. It writes an access log, unless `logs` is false. With `spoken`
    every connection begins with a header of the PROXY protocol."""

    def start(workers=2, top="", logs=True, accept="shared", spoken=False, **arguments):
        hooks = "test_hooks on\n" if has_hooks(variant) else ""
        config = (spoken_config(VICTIM_CONFIG) if spoken else VICTIM_CONFIG).replace("{accept}", accept).replace("{workers}", str(workers))
        config = config.replace("{top}", hooks + (LOGGED if logs else "") + top)
        server = start_server(config=config.replace("{documents}", str(documents)), **arguments)
        server.slots = workers
        server.targets = [("spoken:" if spoken else "") + word.replace("{port}", str(server.port)).replace("{folder}", str(server.folder))
                          for word in TARGETS]
        return server

    return start


def spoken_config(config):
    config = config.replace("    accept {accept}\n", "    accept {accept}\n    proxy_protocol from 127.0.0.1 ::1\n")
    config = config.replace("site 127", "listen unix:{folder}/site.sock {\n    proxy_protocol from unix\n}\nsite 127")
    return config.replace("    listing on\n", "    listing on\n    route /who {\n        respond 200 {client.address}\n    }\n")


def has_hooks(variant):
    return variant in ("hooks", "asan")


@pytest.fixture
def hooks(variant):
    """Whether the build under test has the handlers under /_test/."""
    return has_hooks(variant)


@pytest.fixture
def write_victim_config(documents, variant):
    """write_victim_config(folder, workers=2): the configuration of start_victim as a file, for who starts the server
    differently. Returns its path and the targets."""

    def write(folder, workers=2, top="", accept="shared"):
        hooks = "test_hooks on\n" if has_hooks(variant) else ""
        port = holdfast.free_port()
        text = VICTIM_CONFIG
        for name, value in (("workers", workers), ("accept", accept), ("top", hooks + LOGGED + top),
                            ("documents", documents), ("port", port),
                            ("control", folder / "control.sock"), ("folder", folder)):
            text = text.replace("{%s}" % name, str(value))
        path = folder / "holdfast.conf"
        path.write_text(text)
        return path, [word.replace("{port}", str(port)).replace("{folder}", str(folder)) for word in TARGETS]

    return write
