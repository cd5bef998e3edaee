"""What `holdfast check` says about wrong configurations, to the letter, and that right ones are ok.

Each bad/NAME.conf has its words in bad/NAME.expected. To write them anew after a change that is meant, and then to
read what has changed: HOLDFAST_REWRITE=1."""

import os
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOLDFAST_WORKERS": "several", "LC_ALL": "C"}
# Of the sanitizers; without them a failure would be silent.
ENVIRONMENT.update({name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")})


def check(build, folder, name, **environment):
    return subprocess.run([build / "holdfast", "check", "-c", name], cwd=folder, env=ENVIRONMENT | environment,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=30)


def names(folder):
    return sorted(path.stem for path in (HERE / folder).glob("*.conf"))


def test_every_directive_has_a_right_and_a_wrong_case(build):
    done = subprocess.run([build / "holdfast", "check", "--directives"], capture_output=True, text=True, timeout=30)
    directives = set(re.findall(r"^### `(\w+)", done.stdout, re.MULTILINE)) - {"test_hooks"}
    assert len(directives) > 30
    for folder in ("good", "bad"):
        files = [path for path in (HERE / folder).rglob("*") if path.suffix in (".conf", ".site", ".part")]
        used = set(re.findall(r"^\s*(\w+)", "\n".join(path.read_text(errors="replace") for path in files), re.MULTILINE))
        assert not directives - used, f"tests/conf/{folder} has no case of {directives - used}"


def test_there_are_cases():
    assert len(names("bad")) >= 25 and len(names("good")) >= 3


@pytest.mark.parametrize("name", names("bad"))
def test_a_wrong_configuration_is_refused_in_these_words(build, name):
    done = check(build, HERE / "bad", f"{name}.conf")
    expected = HERE / "bad" / f"{name}.expected"
    if os.environ.get("HOLDFAST_REWRITE") == "1":
        expected.write_bytes(done.stderr)
    assert done.stderr.decode() == expected.read_bytes().decode()
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("name", names("good"))
def test_a_right_configuration_is_ok(build, name):
    done = check(build, HERE / "good", f"{name}.conf", HOLDFAST_WORKERS="2")
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (0, f"{name}.conf: ok\n", "")


def test_a_file_that_is_not_there_is_named(build, folder):
    done = check(build, folder, "none.conf")
    assert done.returncode == 1
    assert done.stderr.decode() == ("none.conf: error: the file cannot be read: No such file or directory\n"
                                    "none.conf: 1 error\n")


def test_a_path_is_shown_as_it_was_written_and_relative_ones_start_from_the_file(build, folder):
    (folder / "conf").mkdir()
    (folder / "conf" / "www").mkdir()
    file = folder / "conf" / "h.conf"
    file.write_text("site :8080 {\n    files www\n}\n")
    assert check(build, folder, "conf/h.conf").stdout == b"conf/h.conf: ok\n"
    assert check(build, "/", file).stdout.decode() == f"{file}: ok\n"
    file.write_text("site :8080 {\n    files conf/www\n}\n")
    assert check(build, folder, "conf/h.conf").stderr.decode().startswith(
        'conf/h.conf:2:11: error: there is no folder "conf/www"\n')


@pytest.mark.parametrize("server, count, message", [("10.0.{p}.{s}:80", 1024, "one address too many: all pools together may have 1024"),
                                                    ("s{s}.p{p}.example:80", 256, "one name too many: all pools together may have 256")])
def test_no_more_servers_are_taken_than_workers_have_places_for(build, folder, server, count, message):
    servers = [f"    server {server.format(p=i // 60, s=i % 60 + 1)}\n" for i in range(count + 1)]
    pools = [f"pool p{at} {{\n{''.join(servers[at:at + 60])}}}\n" for at in range(0, len(servers), 60)]
    (folder / "many.conf").write_text("".join(pools) + "site :8080 {\n    proxy p0\n}\n")
    done = check(build, folder, "many.conf")
    assert done.returncode == 1 and done.stderr.decode().count("error: ") == 1 and message in done.stderr.decode()
    (folder / "many.conf").write_text((folder / "many.conf").read_text().replace(servers[-1], "", 1))
    assert b"too many" not in check(build, folder, "many.conf").stderr
