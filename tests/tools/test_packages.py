"""tools/packages with stand-ins for dpkg-query, apt-get, id and sudo: nothing is installed here."""

import os
import pathlib
import shutil
import subprocess

import pytest

PACKAGES = pathlib.Path(__file__).resolve().parents[2] / "tools" / "packages"
NEEDED = "sh sed sort head cat tee chmod rm mv env dirname true".split()
BENCH = "wrk nghttp2-client python3 nginx-light libnginx-mod-stream haproxy h2o lighttpd".split()


class Machine:
    def __init__(self, folder):
        self.bin = folder / "bin"
        self.policy = folder / "policy-rc.d"
        self.log = folder / "log"
        self.bin.mkdir()
        for tool in NEEDED:
            (self.bin / tool).symlink_to(shutil.which(tool))

    def put(self, name, script):
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def set_up(self, installed, uid=0, apt_get="exit 0"):
        lines = "\\n".join(f"installed {package}" for package in installed)
        self.put("dpkg-query", f"printf '{lines}\\n'; exit 1")  # 1: it says so when one of them is missing
        self.put("id", f"echo {uid}")
        if apt_get is not None:
            self.put("apt-get", f'echo "apt-get $*" >>{self.log}; cat {self.policy} >>{self.log} 2>&1; {apt_get}')

    def run(self, *sets):
        return subprocess.run([PACKAGES, *sets], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env={"PATH": str(self.bin), "HOLDFAST_POLICY_FILE": str(self.policy)})


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_nothing_is_said_or_done_when_everything_is_there(machine):
    machine.set_up(BENCH, uid=1000)
    done = machine.run("bench")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not machine.log.exists()


def test_only_what_is_missing_is_installed_and_named_with_its_reason_first(machine):
    machine.set_up([package for package in BENCH if package not in ("wrk", "h2o")])
    done = machine.run("bench")
    assert done.returncode == 0
    assert "wrk                load" in done.stdout and "h2o                a peer to compare with" in done.stdout
    assert "haproxy" not in done.stdout
    assert "--no-install-recommends h2o wrk" in machine.log.read_text()


def test_no_service_may_start_while_packages_are_installed(machine):
    machine.set_up([])
    assert machine.run("bench").returncode == 0
    assert "exit 101" in machine.log.read_text()
    assert not machine.policy.exists()


@pytest.mark.parametrize("apt_get, code", [("exit 0", 0), ("exit 100", 1)])
def test_a_policy_that_was_there_before_comes_back(machine, apt_get, code):
    machine.set_up([], apt_get=apt_get)
    machine.policy.write_text("their own policy\n")
    assert machine.run("bench").returncode == code
    assert machine.policy.read_text() == "their own policy\n"
    assert "exit 101" in machine.log.read_text() and "their own" not in machine.log.read_text()
    assert os.listdir(machine.policy.parent).count("policy-rc.d.holdfast-aside") == 0


def test_old_package_lists_are_read_anew(machine):
    machine.set_up([], apt_get=f'case "$*" in update*) echo new >{machine.log}.lists;; esac; '
                               f'[ -e {machine.log}.lists ]')
    assert machine.run("bench").returncode == 0
    calls = [line.split()[1] for line in machine.log.read_text().splitlines() if line.startswith("apt-get")]
    assert calls == ["install", "update", "install"]


def test_without_a_network_it_says_so_and_what_to_do(machine):
    machine.set_up([], apt_get="exit 100")
    done = machine.run("bench")
    assert done.returncode == 1
    assert "is there a network?" in done.stderr and "apt-get install h2o haproxy" in done.stderr


def test_without_root_and_sudo_it_says_so_and_what_to_do(machine):
    machine.set_up([], uid=1000)
    done = machine.run("build")
    assert done.returncode == 1
    assert "this needs root, and there is no sudo" in done.stderr and "apt-get install gcc" in done.stderr
    assert not machine.log.exists()


def test_with_sudo_it_asks_sudo_and_never_waits_for_a_password_without_a_terminal(machine):
    machine.set_up([], uid=1000)
    machine.put("sudo", f'echo "sudo $*" >>{machine.log}; [ "$1" = -n ] || exit 1; shift; exec "$@"')
    assert machine.run("build").returncode == 0
    assert "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install" in machine.log.read_text()
    machine.put("sudo", "exit 1")
    done = machine.run("build")
    assert done.returncode == 1 and "sudo does not let this user install" in done.stderr


def test_without_apt_get_it_says_so(machine):
    machine.set_up([], apt_get=None)
    done = machine.run("build")
    assert done.returncode == 1 and "there is no apt-get here" in done.stderr


def test_elsewhere_than_on_debian_the_tools_only_have_to_be_there(machine):
    done = machine.run("build")
    assert done.returncode == 1 and "not a Debian system, and not found: cc meson ninja" in done.stderr
    for tool in ("cc", "meson", "ninja"):
        machine.put(tool, "exit 0")
    assert machine.run("build").returncode == 0
