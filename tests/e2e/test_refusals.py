"""Starts that must fail: the reason is said, all at once, and nothing stays behind."""

import os
import pathlib
import pwd
import resource
import shutil
import signal
import socket
import subprocess

import holdfast
import pytest
from clients import ONE_SITE, Client, fetch, refused, write_config

pytestmark = pytest.mark.variants("hooks", "release", "asan")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to start a server as root and as others")


@pytest.fixture
def place(folder):
    (folder / "here").mkdir()
    return folder / "here"


def listening_socket(path=None):
    taken = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    taken.bind(str(path) if path else ("127.0.0.1", 0))
    taken.listen()
    return taken


# The configuration


def test_a_bad_configuration_is_refused_with_all_its_mistakes(place):
    config = write_config(place, "workers nine\n" + ONE_SITE + "nonsense\n", port=holdfast.free_port())
    said = refused(place, config)
    assert "holdfast.conf:1:" in said and "nonsense" in said and "event=config_refused" in said


def test_a_configuration_that_is_not_there_is_named(place):
    assert "no-such.conf" in refused(place, place / "no-such.conf")


def test_wrong_words_on_the_command_line_are_wrong_usage(place):
    config = write_config(place, ONE_SITE, port=holdfast.free_port())
    assert "--nonsense" in refused(place, config, "--nonsense", code=2)


def test_a_command_that_is_misspelt_is_told_what_was_meant(build):
    for words, said in ((["statsu"], 'did you mean "status"?'), (["x"], "`holdfast help` lists them")):
        done = subprocess.run([build / "holdfast", *words], capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout) == (2, "") and said in done.stderr, done


def test_a_folder_that_is_missing_is_refused_at_its_line(place):
    config = write_config(place, ONE_SITE, port=holdfast.free_port(), www=place / "nowhere")
    assert "holdfast.conf:4:" in refused(place, config)


# Addresses


def test_all_addresses_that_are_taken_are_named_at_once(place):
    with listening_socket() as one, listening_socket() as two:
        ports = one.getsockname()[1], two.getsockname()[1]
        free = holdfast.free_port()
        text = "workers 1\ncontrol {control}\n" + "".join(
            f"site 127.0.0.1:{port} {{\n    files {{www}}\n}}\n" for port in (ports[0], free, ports[1]))
        said = refused(place, write_config(place, text))
        for port in ports:
            assert f"event=listener_failed address=127.0.0.1:{port} error=\"Address already in use\" next=\"end who" in said
        assert f"listener_failed address=127.0.0.1:{free}" not in said
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free))  # it was let go


UNIX_SITE = "workers 1\ncontrol {control}\nsite unix:{path} {\n    files {www}\n}\n"


def test_a_unix_path_on_which_somebody_listens_is_refused(place):
    path = place / "site.sock"
    with listening_socket(path) as alive:
        assert f"unix:{path}" in refused(place, write_config(place, UNIX_SITE, path=path))
        with Client(path):
            assert alive.accept(), "it still works"


def test_a_unix_path_that_is_no_socket_is_refused_and_left_as_it_is(place):
    path = place / "precious"
    path.write_text("data")
    assert f"unix:{path}" in refused(place, write_config(place, UNIX_SITE, path=path))
    assert path.read_text() == "data"


def test_a_unix_path_in_a_folder_that_is_missing_is_refused(place):
    path = place / "no" / "site.sock"
    assert f"unix:{path}" in refused(place, write_config(place, UNIX_SITE, path=path))


def test_a_unix_path_whose_server_is_dead_is_taken_over(start_server, folder):
    path = folder / "site.sock"
    listening_socket(path).close()
    server = start_server(config=UNIX_SITE.replace("{path}", str(path)))
    (server.www / "index.html").write_text("index\n")
    assert fetch(path).body == b"index\n"
    server.stop()
    assert not path.exists()


# The control socket


def test_a_control_path_of_a_living_server_is_refused_and_that_server_goes_on(start_server, place):
    first = start_server(workers=1)
    config = write_config(place, ONE_SITE, port=holdfast.free_port(), control=first.control)
    assert str(first.control) in refused(place, config)
    assert first.status()["anchor"]["pid"] == first.pid


def test_a_control_path_of_a_dead_server_is_taken_over(start_server, folder):
    path = folder / "stale.sock"
    listening_socket(path).close()
    server = start_server(config=ONE_SITE.replace("{control}", str(path)))
    server.control = path
    assert server.status()["anchor"]["pid"] == server.pid


def test_a_control_path_that_is_no_socket_is_refused_and_left_as_it_is(place):
    (place / "file").write_text("data")
    config = write_config(place, ONE_SITE, port=holdfast.free_port(), control=place / "file")
    assert str(place / "file") in refused(place, config)
    assert (place / "file").read_text() == "data"


# What the machine does not give


def test_a_missing_anchor_is_named_and_what_to_do(place, build):
    installed = pathlib.Path("/usr/local/libexec/holdfast/holdfast-anchor")
    if installed.exists():
        pytest.skip(f"{installed} would be found")
    shutil.copy(build / "holdfast", place / "holdfast")
    config = write_config(place, ONE_SITE, port=holdfast.free_port())
    said = refused(place, config, "--pid-file", place / "pid", build=place)
    assert "holdfast-anchor" in said and "make install" in said
    assert not list(place.glob("pid*"))


def test_a_limit_of_descriptors_that_is_too_low_is_a_reason_not_to_start(place):
    config = write_config(place, ONE_SITE, port=holdfast.free_port())
    said = refused(place, config, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    assert "event=descriptors_short limit=64 needed=" in said and "raise it" in said, said
    assert len(said.splitlines()) < 20, said


@pytest.mark.variants("hooks", "release")  # the leak checker wants a process of its own
@needs_root
def test_a_limit_of_processes_that_is_too_low_is_a_reason_not_to_start(folder, build, place):
    copy_programs(build, folder)
    config = write_config(place, ONE_SITE, port=holdfast.free_port())
    for path in [place, *place.rglob("*")]:
        shutil.chown(path, "nobody")
    said = refused(place, config, build=folder, prefix=["prlimit", "--nproc=1"], user="nobody",
                   group=pwd.getpwnam("nobody").pw_gid, extra_groups=[], code=70)
    assert "no master could be kept alive, giving up" in said, said


def copy_programs(build, folder):
    """Where any user can run them, whatever the permissions above the build folder."""
    for name in ("holdfast", "holdfast-anchor"):
        shutil.copy(build / name, folder / name)


@needs_root
def test_a_folder_that_the_workers_user_cannot_reach_is_refused(place):
    (place / "closed").mkdir(mode=0o700)
    (place / "closed" / "www").mkdir()
    config = write_config(place, "user nobody\n" + ONE_SITE, port=holdfast.free_port(), www=place / "closed" / "www")
    said = refused(place, config)
    assert f"folder=\"{place}/closed/www\" error=\"Permission denied\" next=\"let the workers' user enter it" in said, said
    (place / "closed" / "www").chmod(0o700)
    (place / "closed").chmod(0o755)  # now it can be found and opened, and not entered
    said = refused(place, config)
    assert f"folder=\"{place}/closed/www\" error=\"Permission denied\"" in said, said


@pytest.mark.variants("hooks", "release")
def test_workers_that_crash_before_they_accept_are_a_reason_not_to_start(place, build):
    config = write_config(place, "crash_limit 2 per 10s\n" + ONE_SITE, port=holdfast.free_port())
    said = refused(place, config, environment={"LD_PRELOAD": str(build / "tests/e2e/shim.so"),
                                               "SHIM_WORKER_ABORTS": "1"})
    assert "event=worker_died" in said and f"signal {int(signal.SIGABRT)}" in said
    assert "workers crash before they accept" in said


def test_after_a_refusal_the_same_configuration_starts_once_the_reason_is_gone(place, start_server):
    with listening_socket() as taken:
        port = taken.getsockname()[1]
        refused(place, write_config(place, ONE_SITE, port=port))
    server = start_server(config=ONE_SITE.replace("{port}", str(port)))
    assert fetch(port).status == 404  # no index there
    assert server.status()["listeners"][0]["address"] == f"127.0.0.1:{port}"
