"""The anchor, driven through a master that does what the test says (fake_master.c)."""

import ctypes
import os
import pathlib
import random
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import time

import pytest

WAIT_S = 20
CLD_EXITED, CLD_KILLED = 1, 2
MAGIC = 0x43464C48
HELLO, PUT, GET, DEL, LIST, START, COMMAND, IMAGE, NOTIFY, ACK, EXIT, PONG = range(1, 13)


# The anchor is the same in all builds but the one with sanitizers.
pytestmark = pytest.mark.variants("release", "asan")


def message(kind, payload=b"", magic=MAGIC, version=1, length=None, serial=99):
    length = len(payload) if length is None else length
    return (struct.pack("<IHHIIQ", magic, version, kind, length, 0, serial) + payload).hex()


def until(condition, what):
    """Polls what has no event of its own (the state of /proc)."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        select.select([], [], [], 0.005)
    raise AssertionError(f"not within {WAIT_S} s: {what}")


def state(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2]


def children(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def descendants(pid):
    found = children(pid)
    for child in list(found):
        found += descendants(child)
    return found


class Master:
    """One master's connection to the test."""

    def __init__(self, connection):
        connection.settimeout(WAIT_S)
        self.connection = connection
        self.buffer = b""
        self.events = []
        self.pid = int(re.match(r"master pid=(\d+)", self.line())[1])  # in its own PID namespace

    def line(self):
        while b"\n" not in self.buffer:
            data = self.connection.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode()

    def send(self, command):
        self.connection.sendall(command.encode() + b"\n")

    def do(self, command):
        """Returns the answer; "ok k=v" as a dictionary."""
        self.send(command)
        while (line := self.line()).startswith("event "):
            self.events.append(line)
        if line == "ok" or line.startswith("ok "):
            return dict(re.findall(r"(\w+)=(\S*)", line), line=line)
        return line

    def ok(self, command):
        answer = self.do(command)
        assert isinstance(answer, dict), f"{command}: {answer}"
        return answer

    def refused(self, command, error):
        answer = self.do(command)
        assert isinstance(answer, str) and answer.split()[1] == error, f"{command}: {answer}"

    def names(self, prefix=""):
        words = self.ok("list " + prefix)["line"].split()
        assert words[-1] == "=OK"
        return words[2:-1]

    def event(self, kind):
        """The next event, which must be of this kind."""
        line = self.events.pop(0) if self.events else self.line()
        assert line.startswith(f"event {kind} "), line
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}

    def has_no_event(self, seconds=0.3):
        assert not self.events
        try:
            self.connection.settimeout(seconds)
            line = self.line()
        except TimeoutError:
            return
        finally:
            self.connection.settimeout(WAIT_S)
        raise AssertionError(line)

    def hello(self):
        return self.ok("hello")

    def take_death_of_master(self, pid):
        """The end of an earlier master is told like any other."""
        status = self.event("status")
        assert (status["pid"], status["was_master"]) == (pid, 1)
        self.ok(f"ack {status['seq']}")
        return status

    def has_ended(self):
        """Reads until the end of the connection."""
        try:
            while True:
                self.line()
        except (EOFError, ConnectionError):
            pass


class Anchor:
    def __init__(self, folder, build, *options, argument=None, ready=False, pid_file=None, prefix=(), env=None,
                 limit=None, holds=None, image=None):
        self.folder = folder
        self.fake_master = build / "tests/e2e/fake_master"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / "test.sock"))
        self.listener.listen(64)
        self.listener.settimeout(WAIT_S)
        self.log_path = folder / "log"
        self.masters = []
        fds = [os.open(image or self.fake_master, os.O_RDONLY)]
        command = list(prefix) + [str(build / "holdfast-anchor"), "--image-fd", str(fds[0])]
        self.ready = None
        if ready:
            self.ready, write = os.pipe()
            fds.append(write)
            command += ["--ready-fd", str(write)]
        if pid_file:
            fds.append(os.open(pid_file, os.O_RDWR | os.O_CREAT, 0o644))
            command += ["--pid-file", str(pid_file), "--pid-fd", str(fds[-1])]
        for name, fd in (holds or {}).items():
            command += ["--hold", f"{name}={fd}"]
        command += [*options, "--", argument or str(folder / "test.sock")]
        environment = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"} | (env or {})

        def before():
            if limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, pass_fds=fds + list((holds or {}).values()), stderr=log,
                                            stdin=subprocess.DEVNULL, env=environment, preexec_fn=before)
        for fd in fds:
            os.close(fd)
        self.pid = self.process.pid

    def master(self):
        """The next master that starts."""
        self.masters.append(Master(self.listener.accept()[0]))
        return self.masters[-1]

    def greeted_master(self):
        master = self.master()
        master.hello()
        return master

    def stop_listening(self):
        self.listener.close()
        (self.folder / "test.sock").unlink()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_for_log(self, pattern, count=1):
        return until(lambda: (found := re.findall(pattern, self.log())) and len(found) >= count and found,
                     f"{pattern} in the log:\n{self.log()}")

    def wait(self):
        return self.process.wait(WAIT_S)

    def kill_master(self, master, number=signal.SIGKILL):
        os.kill(master.pid, number)
        master.has_ended()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def end(self):
        """Whatever the test has left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)
            left = descendants(self.pid)
            self.process.kill()
            self.process.wait()
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for master in self.masters:
            master.connection.close()
        self.listener.close()
        if self.ready is not None:
            os.close(self.ready)
            self.ready = None
        for pid in children(os.getpid()):  # the tests are subreaper: orphans end here
            if state(pid) == "Z":
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass


@pytest.fixture
def anchor(folder, build, request):
    started = []

    def start(*options, **arguments):
        place = folder / str(len(started))
        place.mkdir()
        started.append(Anchor(place, build, *options, **arguments))
        return started[-1]

    yield start
    for one in started:
        log = one.log()
        one.end()
        request.node.add_report_section("teardown", "anchor's log", log[-8000:])
        assert "Sanitizer" not in log and "runtime error" not in log, log


def test_a_master_gets_its_link_as_descriptor_3_and_nothing_else_of_the_anchor(anchor):
    a = anchor()
    master = a.master()
    facts = master.ok("self")
    assert (int(facts["parent"]), int(facts["session"]), int(facts["blocked"])) == (a.pid, master.pid, 0)
    assert facts["fds"] == "0,1,2,3"
    assert os.readlink(f"/proc/{master.pid}/fd/0") == "/dev/null"
    arguments = pathlib.Path(f"/proc/{master.pid}/cmdline").read_bytes().split(b"\0")
    assert arguments[:2] == [b"holdfast", b"master"] and arguments[2].endswith(b"test.sock")
    assert pathlib.Path(f"/proc/{a.pid}/comm").read_text() == "holdfast\n"


def test_descriptors_that_nobody_named_are_closed(anchor):
    read, write = os.pipe()
    os.set_inheritable(write, True)
    a = anchor("--hold", f"mine={read}", holds={"yours": write})  # `read` is not open there
    assert a.wait() == 2 and "no such descriptor" in a.log()
    a = anchor(holds={"yours": write})
    os.close(write)
    master = a.greeted_master()
    assert sorted(master.names()) == ["image:0", "yours"]
    assert len([fd for fd in os.listdir(f"/proc/{a.pid}/fd") if int(fd) > 2]) == 4  # image, hold, signals, link
    master.ok("del yours")
    assert os.read(read, 1) == b""  # the last copy of the other end is gone
    os.close(read)


def test_the_first_hello_tells_the_master_that_it_is_in_command(anchor):
    a = anchor()
    master = a.master()
    hello = master.hello()
    assert hello["in_command"] == "1" and hello["ready_before"] == "0" and hello["other"] == "0"
    assert int(hello["anchor"]) == a.pid and int(hello["self"]) == master.pid
    assert hello["epoch"] == "1" and hello["started"] == "1"
    assert hello["image"] == hello["good"] == "image:0" and hello["trying"] == ""
    assert master.hello() == hello  # asking twice changes nothing


def test_a_request_before_hello_is_refused(anchor):
    master = anchor().master()
    master.refused("get image:0", "PROTOCOL")
    master.refused("exit 0", "PROTOCOL")
    master.hello()
    master.ok("list")


def test_descriptors_are_put_got_replaced_and_deleted_by_name(anchor):
    a = anchor()
    master = a.greeted_master()
    before = a.descriptors()
    master.ok("put listener:1 one")
    master.ok("put listener:2 two")
    assert master.ok("get listener:1")["text"] == "one"
    master.ok("put listener:1 other")
    assert master.ok("get listener:1")["text"] == "other"
    assert sorted(master.names("listener:")) == ["listener:1", "listener:2"]
    assert a.descriptors() == before + 2
    master.ok("del listener:1")
    master.refused("get listener:1", "NOT_FOUND")
    master.refused("del listener:1", "NOT_FOUND")
    master.ok("del listener:2")
    assert a.descriptors() == before and master.names() == ["image:0"]


def test_names_are_checked(anchor):
    master = anchor().greeted_master()
    longest = "n" * 63
    master.ok(f"put {longest} x")
    assert master.ok(f"get {longest}")["text"] == "x"
    master.ok(f"raw {message(GET, longest.encode())} 0")
    for bad in (b"two words", b"line\nbreak", b"nul\0", b"\xc3\xa4"):
        master.refused(f"raw {message(GET, bad)} 0", "INVALID")
        master.refused(f"raw {message(PUT, bad)} 1", "INVALID")
    master.refused(f"raw {message(GET, b'n' * 64)} 0", "SYNTAX")
    master.refused(f"raw {message(PUT, b'')} 1", "SYNTAX")


def test_a_long_list_comes_in_pages_with_every_name_once(anchor):
    master = anchor().greeted_master()
    wanted = [f"{'long-name-' * 5}{i:04}" for i in range(200)]
    for name in wanted:
        master.ok(f"put {name} x")
    assert sorted(master.names("long-")) == wanted
    assert len(master.names()) == 201
    assert master.names("nothing") == []


def test_a_full_table_says_limit_and_goes_on(anchor):
    a = anchor("--max-names", "3")
    master = a.greeted_master()
    before = a.descriptors()
    master.ok("put a 1")
    master.ok("put b 2")
    master.refused("put c 3", "LIMIT")
    assert a.descriptors() == before + 2
    master.ok("put b 4")  # replacing needs no place
    master.ok("del a")
    master.ok("put c 3")
    assert sorted(master.names()) == ["b", "c", "image:0"]


def test_an_anchor_short_of_descriptors_refuses_more_and_loses_nothing(anchor):
    a = anchor(limit=96)
    master = a.greeted_master()
    count = 0
    while isinstance(answer := master.do(f"put many:{count} {count}"), dict):
        count += 1
    assert answer.split()[1] == "NO_DESCRIPTORS" and 40 < count < 96
    assert len(master.names("many:")) == count
    a.kill_master(master)  # there is always room for the next master
    master = a.greeted_master()
    assert [master.ok(f"get many:{i}")["text"] for i in range(count)] == [str(i) for i in range(count)]
    master.ok("del many:0")
    master.ok("put again x")


def test_a_killed_master_is_started_again_and_everything_is_still_held(anchor):
    a = anchor()
    master = a.greeted_master()
    for i in range(50):
        master.ok(f"put thing:{i} {i}")
    master.ok("notify READY=1")
    for round_number in range(1, 4):
        pid = master.pid
        a.kill_master(master)
        master = a.master()
        hello = master.hello()
        assert hello["in_command"] == hello["ready_before"] == "1"
        assert (int(hello["epoch"]), int(hello["started"])) == (round_number + 1, round_number + 1)
        master.take_death_of_master(pid)
        assert state(pid) is None
        assert [master.ok(f"get thing:{i}")["text"] for i in range(50)] == [str(i) for i in range(50)]
    assert len(a.wait_for_log(r'event=master_died master=\d+ cause="signal 9 \(SIGKILL\)"', 3)) == 3


def test_a_death_is_told_once_and_reaped_when_it_is_acknowledged(anchor):
    a = anchor()
    master = a.greeted_master()
    pid = int(master.ok("sibling exit 7")["pid"])
    status = master.event("status")
    assert (status["pid"], status["code"], status["status"], status["was_master"]) == (pid, CLD_EXITED, 7, 0)
    assert state(pid) == "Z"
    master.refused(f"ack {status['seq'] + 1}", "NOT_FOUND")
    assert state(pid) == "Z"
    master.ok(f"ack {status['seq']}")
    assert state(pid) is None
    master.refused(f"ack {status['seq']}", "NOT_FOUND")
    master.has_no_event()


def test_several_zombies_at_once_are_told_one_after_the_other(anchor):
    master = anchor().greeted_master()
    pids = {int(master.ok(f"sibling exit {i}")["pid"]): i for i in range(12)}
    told = {}
    seqs = []
    for _ in pids:
        status = master.event("status")
        told[status["pid"]] = status["status"]
        seqs.append(status["seq"])
        master.ok(f"ack {status['seq']}")
    assert told == pids and seqs == sorted(set(seqs))
    master.has_no_event()


def test_deaths_of_the_time_without_a_master_are_told_to_the_next_one(anchor):
    a = anchor()
    master = a.greeted_master()
    pids = [int(master.ok("sibling sleep")["pid"]) for _ in range(5)]
    os.kill(a.pid, signal.SIGSTOP)  # nothing is told while all of them die
    until(lambda: state(a.pid) == "T", "the anchor stands still")
    first = master.pid
    a.kill_master(master)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: all(state(pid) == "Z" for pid in pids + [first]), "all of them are dead")
    os.kill(a.pid, signal.SIGCONT)
    master = a.greeted_master()
    told = []
    for _ in range(6):
        status = master.event("status")
        assert (status["code"], status["status"]) == (CLD_KILLED, signal.SIGKILL)
        assert status["was_master"] == (status["pid"] == first)
        told.append(status["pid"])
        master.ok(f"ack {status['seq']}")
    assert sorted(told) == sorted(pids + [first])
    assert all(state(pid) is None for pid in told)


def test_a_death_that_was_not_acknowledged_is_told_again_with_its_number(anchor):
    a = anchor()
    master = a.greeted_master()
    pid = int(master.ok("sibling exit 1")["pid"])
    status = master.event("status")
    for _ in range(3):  # the zombie is first in line all the time, and each master's own death is seen all the same
        dead = master.pid
        a.kill_master(master)
        master = a.greeted_master()
        assert master.event("status") == status
    master.ok(f"ack {status['seq']}")
    assert master.event("status")["was_master"] == 1
    assert state(pid) is None and state(dead) == "Z"


def test_orphans_of_any_depth_become_the_anchors_and_their_ends_are_told(anchor):
    a = anchor()
    master = a.greeted_master()
    family = master.ok("family")
    parent, child = int(family["pid"]), int(family["child"])
    assert child in children(parent)
    for pid in (parent, child):
        os.kill(pid, signal.SIGKILL)
        status = master.event("status")
        assert (status["pid"], status["code"], status["status"]) == (pid, CLD_KILLED, signal.SIGKILL)
        master.ok(f"ack {status['seq']}")
        assert state(pid) is None
    assert children(a.pid) == [master.pid]


def test_a_master_that_misses_its_pings_is_killed_and_started_again(anchor):
    a = anchor("--ping-ms", "40")
    master = a.greeted_master()
    pid = master.pid
    master.ok("mute on")
    second = a.greeted_master()
    assert second.take_death_of_master(pid)["status"] == signal.SIGKILL
    assert re.search(rf"event=master_silent master={pid} .*missed its pings", a.log())
    assert len(re.findall("event=master_silent", a.log())) == 1


def test_a_master_that_never_says_hello_is_killed(anchor):
    a = anchor("--ping-ms", "40", argument="hang")
    a.wait_for_log("event=master_silent", 2)


def test_a_master_that_answers_is_left_alone(anchor):
    a = anchor("--ping-ms", "20")
    master = a.greeted_master()
    master.has_no_event(1.0)  # 50 pings
    assert master.hello()["started"] == "1" and "master_silent" not in a.log()


def test_a_stopped_master_is_left_alone(anchor):
    a = anchor("--ping-ms", "20")
    master = a.greeted_master()
    os.kill(master.pid, signal.SIGSTOP)
    until(lambda: state(master.pid) == "T", "it stands still")
    master.has_no_event(1.0)  # 50 pings
    os.kill(master.pid, signal.SIGCONT)
    assert master.hello()["started"] == "1" and "master_silent" not in a.log()


def test_a_traced_master_is_left_alone(anchor):
    a = anchor("--ping-ms", "20")
    master = a.greeted_master()
    libc = ctypes.CDLL(None, use_errno=True)
    attach, detach = 16, 17
    if libc.ptrace(attach, master.pid, None, None) != 0:
        pytest.skip("ptrace is not permitted here")
    until(lambda: state(master.pid) == "t", "it stands still")
    master.has_no_event(1.0)
    assert libc.ptrace(detach, master.pid, None, None) == 0
    assert master.hello()["started"] == "1" and "master_silent" not in a.log()


def test_an_anchor_that_was_late_itself_does_not_blame_the_master(anchor):
    a = anchor("--ping-ms", "100")
    master = a.greeted_master()
    master.ok("mute on")
    for cycle in range(8):  # more often than pings may be missed; the anchor runs only for a moment in each
        os.kill(a.pid, signal.SIGSTOP)
        until(lambda: state(a.pid) == "T", "it stands still")
        select.select([], [], [], 0.2)  # time has to go by here: it is what the test is about
        os.kill(a.pid, signal.SIGHUP)
        os.kill(a.pid, signal.SIGCONT)
        a.wait_for_log("event=signal_received", cycle + 1)
    master.ok("mute off")
    assert master.hello()["started"] == "1" and "master_silent" not in a.log()


def test_a_master_that_closes_its_link_is_replaced(anchor):
    a = anchor("--ping-ms", "40")
    master = a.greeted_master()
    pid = master.pid
    master.ok("close")
    a.greeted_master().take_death_of_master(pid)
    assert re.search("event=master_silent .*closed its link", a.log())


def test_command_passes_to_a_second_master_and_events_with_it(anchor):
    a = anchor()
    old = a.greeted_master()
    old.ok("put listener:1 x")
    pid = int(old.ok("start")["pid"])
    new = a.master()
    assert new.pid == pid
    old.refused(f"command {pid}", "REFUSED")  # it has not said hello
    hello = new.hello()
    assert hello["in_command"] == "0" and int(hello["other"]) == old.pid and hello["epoch"] == "1"
    old.refused(f"command {old.pid}", "INVALID")
    old.refused("command 1", "NOT_FOUND")
    old.refused("start", "BUSY")
    zombie = int(old.ok("sibling exit 5")["pid"])
    open_status = old.event("status")
    os.kill(a.pid, signal.SIGHUP)
    open_signal = old.event("signal")
    new.has_no_event()

    old.ok(f"command {pid}")
    assert new.event("command")["epoch"] == 2
    assert new.event("status") == open_status and new.event("signal") == open_signal
    for command in (f"ack {open_status['seq']}", "start", f"command {pid}", "good image:0", "notify READY=1",
                    "exit 0"):
        old.refused(command, "PERMISSION")
    assert old.ok("get listener:1")["text"] == "x"
    new.ok(f"ack {open_status['seq']}")
    new.ok(f"ack {open_signal['seq']}")
    assert state(zombie) is None

    old.ok("quit 0")  # its work is done: nobody starts it again
    status = new.take_death_of_master(old.pid)
    assert (status["code"], status["status"]) == (CLD_EXITED, 0)
    new.has_no_event()
    hello = new.hello()
    assert (hello["in_command"], hello["other"], hello["started"]) == ("1", "0", "2")


def test_a_candidate_may_add_names_but_not_touch_those_of_others(anchor):
    a = anchor()
    old = a.greeted_master()
    old.ok("put shared 1")
    old.ok("start")
    new = a.greeted_master()
    new.ok("put fresh 2")
    new.ok("put fresh 3")
    assert new.ok("get shared")["text"] == "1"
    new.refused("put shared 4", "PERMISSION")
    new.refused("del shared", "PERMISSION")
    new.refused("del image:0", "BUSY")
    assert sorted(new.names()) == ["fresh", "image:0", "shared"]
    old.ok("del shared")
    old.ok("del fresh")  # the one in command may undo what a candidate did
    assert old.names() == ["image:0"]


def test_a_candidate_that_dies_is_told_and_not_started_again(anchor):
    a = anchor()
    old = a.greeted_master()
    old.ok("put listener:1 x")
    old.ok("start")
    new = a.greeted_master()
    new.ok("put candidate:1 y")
    a.kill_master(new)
    old.take_death_of_master(new.pid)
    old.has_no_event()
    assert old.hello()["started"] == "2"
    assert old.ok("get candidate:1")["text"] == "y"
    old.ok("start")
    assert a.greeted_master().pid != new.pid


def test_the_master_in_command_is_replaced_while_a_candidate_lives(anchor):
    a = anchor()
    old = a.greeted_master()
    old.ok("start")
    candidate = a.greeted_master()
    a.kill_master(old)
    again = a.master()
    hello = again.hello()
    assert hello["in_command"] == "1" and int(hello["other"]) == candidate.pid
    again.take_death_of_master(old.pid)
    assert candidate.hello()["in_command"] == "0"
    again.ok(f"command {candidate.pid}")
    assert candidate.event("command")["epoch"] == 3


def test_a_new_image_that_fails_in_command_gives_way_to_the_good_one(anchor):
    a = anchor()
    old = a.greeted_master()
    old.ok(f"putfile image:1 {a.fake_master}")
    old.refused("try image:2", "NOT_FOUND")
    old.refused("good image:2", "NOT_FOUND")
    old.refused("start image:2", "NOT_FOUND")
    old.ok("try image:1")
    old.refused("del image:1", "BUSY")
    old.ok("start")
    new = a.master()
    hello = new.hello()
    assert (hello["image"], hello["good"], hello["trying"]) == ("image:1", "image:0", "image:1")
    old.ok(f"command {new.pid}")
    new.event("command")
    old.ok("quit 0")
    new.take_death_of_master(old.pid)
    a.kill_master(new)
    back = a.master()
    assert back.hello()["image"] == "image:0"
    back.take_death_of_master(new.pid)

    back.ok("good image:1")  # probation is over: this is what is restarted now
    a.kill_master(back)
    last = a.master()
    hello = last.hello()
    assert (hello["image"], hello["good"], hello["trying"]) == ("image:1", "image:1", "")
    last.take_death_of_master(back.pid)
    last.ok("del image:0")


def test_an_image_that_is_no_program_ends_as_a_status(anchor, folder):
    a = anchor()
    broken = folder / "broken"
    broken.write_bytes(b"this is no program")
    master = a.greeted_master()
    master.ok(f"putfile image:1 {broken}")
    pid = int(master.ok("start image:1")["pid"])
    status = master.take_death_of_master(pid)
    assert (status["code"], status["status"]) == (CLD_EXITED, 127)
    a.wait_for_log("event=master_failed step=exec image=image:1")
    assert master.hello()["in_command"] == "1"


def test_a_signal_is_told_until_it_is_acknowledged(anchor):
    a = anchor()
    master = a.greeted_master()
    os.kill(a.pid, signal.SIGHUP)
    told = master.event("signal")
    assert told["signal"] == signal.SIGHUP
    a.kill_master(master)
    pid, master = master.pid, a.greeted_master()
    master.take_death_of_master(pid)
    assert master.event("signal") == told
    os.kill(a.pid, signal.SIGHUP)  # again, while the first is open
    master.has_no_event()
    master.ok(f"ack {told['seq']}")
    again = master.event("signal")
    assert again["signal"] == signal.SIGHUP and again["seq"] > told["seq"]
    master.ok(f"ack {again['seq']}")
    master.has_no_event()
    assert len(re.findall("event=signal_received signal=1 name=SIGHUP", a.log())) == 2


def test_signals_of_the_time_without_a_master_are_kept_as_a_set(anchor):
    a = anchor()
    master = a.greeted_master()
    os.kill(a.pid, signal.SIGSTOP)
    until(lambda: state(a.pid) == "T", "the anchor stands still")
    a.kill_master(master)
    numbers = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGWINCH, signal.SIGRTMIN + 3]
    for number in numbers + numbers[:-1]:  # the last one is real-time: the kernel would keep it twice
        os.kill(a.pid, number)
    os.kill(a.pid, signal.SIGCONT)
    pid, master = master.pid, a.greeted_master()
    master.take_death_of_master(pid)
    told = []
    for _ in numbers:
        event = master.event("signal")
        told.append(event["signal"])
        master.ok(f"ack {event['seq']}")
    assert sorted(told) == sorted(numbers)
    master.has_no_event()


def test_exit_ends_every_descendant_and_removes_the_pid_file(anchor, folder):
    pid_file = folder / "pid"
    a = anchor(pid_file=pid_file)
    master = a.greeted_master()
    family = master.ok("family")
    lonely = int(master.ok("sibling sleep")["pid"])
    everyone = [int(family["pid"]), int(family["child"]), lonely, master.pid]
    assert all(state(pid) == "S" or state(pid) == "R" for pid in everyone) and pid_file.exists()
    master.refused("exit 256", "INVALID")
    master.ok("exit 42")
    assert a.wait() == 42
    assert [state(pid) for pid in everyone] == [None] * 4
    assert not pid_file.exists()
    assert re.search("event=anchor_exits code=42", a.log()) and "left_behind" not in a.log()


def test_a_pid_file_that_somebody_replaced_is_left_alone(anchor, folder):
    pid_file = folder / "pid"
    a = anchor(pid_file=pid_file)
    master = a.greeted_master()
    (folder / "other").write_text("4711\n")
    (folder / "other").rename(pid_file)
    master.ok("exit 0")
    assert a.wait() == 0
    assert pid_file.read_text() == "4711\n"


def test_a_master_that_asked_for_the_end_may_leave_by_itself(anchor):
    a = anchor()
    master = a.greeted_master()
    master.send("exit 3")
    master.send("quit 0")
    assert a.wait() == 3
    assert re.search(rf'child={master.pid} cause="exit 0" by=anchor', a.log())


def test_what_a_master_asked_for_just_before_it_died_counts(anchor):
    a = anchor()
    master = a.greeted_master()
    os.kill(a.pid, signal.SIGSTOP)
    until(lambda: state(a.pid) == "T", "the anchor stands still")
    master.ok("lastwords 9")  # a hundred requests, and EXIT 9 behind them
    os.kill(master.pid, signal.SIGKILL)
    until(lambda: state(master.pid) == "Z", "it is dead")
    os.kill(a.pid, signal.SIGCONT)
    assert a.wait() == 9


def test_the_waiting_parent_is_told_when_the_first_master_is_ready(anchor):
    a = anchor(ready=True)
    master = a.greeted_master()
    assert select.select([a.ready], [], [], 0.2)[0] == []
    master.ok("notify STATUS=XREADY=1|READY=10")  # not this
    assert select.select([a.ready], [], [], 0.2)[0] == []
    master.ok("notify STATUS=all is well|READY=1")
    assert os.read(a.ready, 10) == b"1" and os.read(a.ready, 10) == b""
    master.ok("notify READY=1")
    assert master.hello()["ready_before"] == "1"


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_a_notification_reaches_the_service_manager_as_it_is(anchor, folder, abstract):
    name = f"@holdfast-test-{os.getpid()}" if abstract else str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        manager.settimeout(WAIT_S)
        manager.bind("\0" + name[1:] if abstract else name)
        a = anchor(env={"NOTIFY_SOCKET": name})
        master = a.greeted_master()
        master.ok("notify READY=1|STATUS=two lines")
        data, control, _, _ = manager.recvmsg(5000, 100)
        assert data == b"READY=1\nSTATUS=two lines"
        assert struct.unpack("3i", control[0][2][:12])[0] == a.pid
        longest = "x" * 4096
        master.ok(f"notify {longest}")
        assert manager.recv(5000) == longest.encode()


def test_a_service_manager_that_is_gone_is_an_error_and_no_more(anchor, folder):
    a = anchor(env={"NOTIFY_SOCKET": str(folder / "nobody")}, ready=True)
    master = a.greeted_master()
    assert isinstance(master.do("notify READY=1"), str)
    assert os.read(a.ready, 10) == b"1"
    master.ok("list")


def test_an_anchor_whose_masters_all_die_before_they_are_ready_gives_up(anchor, folder):
    pid_file = folder / "pid"
    a = anchor(argument="exit:3", ready=True, pid_file=pid_file)
    assert a.wait() == 70
    log = a.log()
    assert len(re.findall('event=master_died .*cause="exit 3"', log)) == 10
    assert re.search("deaths_in_row=10 .*giving up", log) and "event=anchor_exits code=70" in log
    waits = [int(ms) for ms in re.findall(r"next_in_ms=(\d+)", log)]
    assert waits[:9] == [0, 0, 0, 0, 0, 100, 200, 400, 800]
    assert os.read(a.ready, 10) == b"" and not pid_file.exists()


def test_masters_that_die_fast_are_slowed_down_and_taken_up_again(anchor):
    a = anchor()
    master = a.greeted_master()
    master.ok("put listener:1 x")
    master.ok("notify READY=1")
    for _ in range(6):
        a.kill_master(master)
        master = a.greeted_master()
    a.wait_for_log("next_in_ms=100")
    assert master.ok("get listener:1")["text"] == "x"


def test_a_stop_that_no_master_lives_to_take_ends_the_anchor(anchor):
    a = anchor()
    master = a.greeted_master()
    master.ok("notify READY=1")
    sibling = int(master.ok("sibling sleep")["pid"])
    a.stop_listening()  # from here on every master exits with 3
    a.kill_master(master)
    a.wait_for_log("next_in_ms=100")
    os.kill(a.pid, signal.SIGTERM)
    assert a.wait() == 70
    assert state(sibling) is None


BAD_PACKETS = {
    "another magic": message(LIST, b"\0" * 4, magic=0x12345678),
    "another version": message(LIST, b"\0" * 4, version=2),
    "a length that is too small": message(LIST, b"\0" * 4, length=3),
    "a length that is too large": message(LIST, b"\0" * 4, length=5),
    "half a header": message(LIST)[:24],
    "one byte": "00",
    "more than a message can hold": message(NOTIFY, b"x" * 4097),
}


@pytest.mark.parametrize("what", BAD_PACKETS)
def test_a_master_that_breaks_the_protocol_is_replaced(anchor, what):
    a = anchor()
    master = a.greeted_master()
    master.ok("put listener:1 x")
    pid = master.pid
    master.send(f"raw {BAD_PACKETS[what]} 0")
    master.has_ended()
    second = a.greeted_master()
    second.take_death_of_master(pid)
    assert second.ok("get listener:1")["text"] == "x"
    assert f"event=protocol_error master={pid}" in a.log()


def test_two_descriptors_in_one_message_break_the_protocol_and_leak_nothing(anchor):
    a = anchor()
    master = a.greeted_master()
    before = a.descriptors()
    for count in (2, 3, 8):
        master.send(f"raw {message(PUT, b'name')} {count}")
        master.has_ended()
        pid, master = master.pid, a.greeted_master()
        master.take_death_of_master(pid)
        assert a.descriptors() == before and master.names() == ["image:0"]


def test_requests_of_the_wrong_shape_get_an_error_and_the_master_lives(anchor):
    a = anchor()
    master = a.greeted_master()
    before = a.descriptors()
    for kind in (0, 14, 63, 64, 65, 128, 131, 65535):
        master.refused(f"raw {message(kind)} 0", "UNSUPPORTED")
        master.refused(f"raw {message(kind)} 1", "UNSUPPORTED")
    for kind, payload in ((HELLO, b""), (HELLO, b"\1\0\1\0\0"), (GET, b""), (LIST, b"\0\0\0"),
                          (LIST, b"\0" * 4 + b"p" * 64), (COMMAND, b"\0"), (IMAGE, b"\1"), (NOTIFY, b""),
                          (ACK, b"\0" * 7), (ACK, b"\0" * 9), (EXIT, b"\0" * 5), (START, b"i" * 64)):
        master.refused(f"raw {message(kind, payload)} 0", "SYNTAX")
    master.refused(f"raw {message(HELLO, struct.pack('<HH', 2, 9))} 0", "VERSION")
    master.refused(f"raw {message(PUT, b'name')} 0", "PROTOCOL")
    master.refused(f"raw {message(GET, b'image:0')} 1", "PROTOCOL")
    master.refused(f"raw {message(IMAGE, bytes([3]) + b'image:0')} 0", "INVALID")
    master.ok(f"raw {message(LIST, struct.pack('<I', 0xffffffff))} 0")  # a cursor past everything
    assert a.descriptors() == before and master.hello()["started"] == "1"


def test_a_master_that_does_not_read_its_answers_holds_nobody_up(anchor):
    a = anchor("--ping-ms", "2000")
    master = a.greeted_master()
    for i in range(60):
        master.ok(f"put {'name' * 15}{i} x")  # answers of 4 KiB
    master.ok("mute on")
    count = int(master.ok("flood")["count"])
    assert count > 50
    os.kill(a.pid, signal.SIGHUP)
    a.wait_for_log("event=signal_received signal=1")  # it is awake
    drained = master.ok(f"drain {count}")
    signals = int(drained["signals"])
    assert int(drained["count"]) == count
    master.ok("mute off")
    if not signals:  # it kept the event meanwhile
        assert master.event("signal")["signal"] == signal.SIGHUP
    assert master.hello()["started"] == "1"


def test_a_master_killed_at_any_point_of_a_request_leaves_the_anchor_consistent(anchor, seed, is_soak):
    lot = random.Random(seed)
    for _ in range(60 if is_soak else 4):
        a = anchor()
        master = a.greeted_master()
        base = a.descriptors() - len(master.names())
        for _ in range(5):  # more would be slowed down
            master.ok("churn")
            select.select([], [], [], lot.random() * 0.02)  # how much time goes by says where the kill strikes
            a.kill_master(master)
            pid, master = master.pid, a.greeted_master()
            master.take_death_of_master(pid)
            names = master.names()
            assert len(names) == len(set(names)) and a.descriptors() == base + len(names)
            for name in names:
                master.ok(f"get {name}")
            master.has_no_event(0.01)
        a.end()


def test_as_process_1_it_adopts_reaps_and_ends_everything(anchor):
    if os.geteuid() != 0:
        pytest.skip("a PID namespace needs root")
    a = anchor(prefix=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"])
    master = a.greeted_master()
    hello = master.hello()
    assert hello["anchor"] == "1" and hello["in_command"] == "1"
    inside = children(a.pid)[0]  # the anchor, seen from here
    family = master.ok("family")

    pid = int(master.ok("sibling exit 6")["pid"])
    status = master.event("status")
    assert (status["pid"], status["status"], status["was_master"]) == (pid, 6, 0)
    master.ok(f"ack {status['seq']}")

    os.kill(inside, signal.SIGTERM)
    told = master.event("signal")
    assert told["signal"] == signal.SIGTERM
    outside = [child for child in children(inside) if "fake-master" in
               pathlib.Path(f"/proc/{child}/comm").read_text() and len(children(child)) == 0]
    os.kill(next(child for child in outside if f"\t{master.pid}\n" in
                 pathlib.Path(f"/proc/{child}/status").read_text()), signal.SIGKILL)
    master.has_ended()
    old, master = master.pid, a.greeted_master()
    master.take_death_of_master(old)
    assert master.event("signal") == told
    assert int(family["child"]) > 1
    everyone = descendants(inside)
    assert len(everyone) == 3
    master.ok("exit 17")
    assert a.wait() == 17
    assert [state(pid) for pid in everyone + [inside]] == [None] * 4


@pytest.mark.parametrize("arguments, reason", [
    ([], "--image-fd: missing"),
    (["--image-fd", "900", "--", "x"], "no such descriptor"),
    (["--image-fd", "1", "--", "x"], "not a number, or out of its range"),
    (["--ping-ms", "soon", "--", "x"], "not a number"),
    (["--hold", "no-sign", "--", "x"], "expected NAME=DESCRIPTOR"),
    (["--nonsense"], "nonsense"),
])
def test_wrong_usage_is_refused_with_a_reason(build, arguments, reason):
    done = subprocess.run([build / "holdfast-anchor", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=WAIT_S)
    assert done.returncode == 2 and reason in done.stderr
