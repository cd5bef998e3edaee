"""Who is who: users, sessions, names and the OOM killer's scores of the four kinds of processes."""

import os
import pwd
import shutil

import pytest
from clients import ONE_SITE, fetch, kill, pids_of, refused, settled, status_of, word, write_config

import holdfast

pytestmark = pytest.mark.variants("hooks", "release", "asan")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to start a server as root and as others")


@pytest.fixture
def programs(folder, build):
    """The programs where any user can run them, whatever the permissions above the build folder."""
    for name in ("holdfast", "holdfast-anchor"):
        shutil.copy(build / name, folder / name)
    return folder


@pytest.fixture
def nobody():
    return pwd.getpwnam("nobody")


def every_process(status):
    pids = {"anchor": status["anchor"]["pid"], "master": status["master"]["pid"]}
    for slot in status["workers"]:
        pids[f"keeper {slot['slot']}"] = slot["keeper_pid"]
        pids[f"worker {slot['slot']}"] = slot["pid"]
    return pids


def session_of(pid):
    return int(holdfast.pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])


@needs_root
def test_keepers_and_workers_run_as_the_user_and_cannot_get_anything_back(start_server, nobody):
    server = start_server(workers=2, top="user nobody")
    kill(settled(server)["workers"][0]["keeper_pid"])  # also after one has become the other
    for name, pid in every_process(settled(server)).items():
        status = status_of(pid)
        if name in ("anchor", "master"):
            assert status["Uid"].split() == ["0"] * 4, name
            continue
        assert status["Uid"].split() == [str(nobody.pw_uid)] * 4, name
        assert status["Gid"].split() == [str(nobody.pw_gid)] * 4, name
        assert status["Groups"].split() == [str(nobody.pw_gid)], name
        assert status["NoNewPrivs"] == "1", name
        assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0, name


@needs_root
def test_group_can_be_another_one_than_the_user_s_own(start_server, nobody):
    server = start_server(workers=1, top="user nobody\ngroup daemon")
    status = status_of(settled(server, 1)["workers"][0]["pid"])
    assert status["Uid"].split()[1] == str(nobody.pw_uid) and status["Gid"].split() == ["1"] * 4


@needs_root
def test_files_are_served_if_the_workers_user_may_read_them(start_server):
    server = start_server(workers=1, top="user nobody")
    for name, owner, mode in (("root-only", "root", 0o600), ("nobody-only", "nobody", 0o400), ("all", "root", 0o644)):
        (server.www / name).write_text(name)
        shutil.chown(server.www / name, owner)
        (server.www / name).chmod(mode)
    assert fetch(server, "/root-only").status == 403
    assert fetch(server, "/nobody-only").body == b"nobody-only"
    assert fetch(server, "/all").body == b"all"


@needs_root
def test_a_configuration_that_only_root_may_read_is_enough(start_server, folder):
    (folder / "secret.conf").write_text("drain 5s\n")
    (folder / "secret.conf").chmod(0o600)
    config = "user nobody\ninclude " + str(folder / "secret.conf") + "\n" + ONE_SITE
    server = start_server(config=config)
    slot = settled(server, 1)["workers"][0]
    kill(slot["pid"])
    kill(settled(server, 1)["master"]["pid"])
    assert settled(server, 1)["workers"][0]["revivals"] == 1


@needs_root
def test_a_server_that_an_ordinary_user_starts_is_that_user_s_throughout(start_server, programs, nobody):
    server = start_server(workers=2, user="nobody", build=programs)
    for victim in ("master", "worker 0", "keeper 1"):
        kill(every_process(settled(server))[victim])
    for name, pid in every_process(settled(server)).items():
        assert status_of(pid)["Uid"].split() == [str(nobody.pw_uid)] * 4, name
        if name.split()[0] in ("keeper", "worker"):
            assert status_of(pid)["NoNewPrivs"] == "1", name
    (server.www / "mine").write_text("mine")
    assert fetch(server, "/mine").body == b"mine"
    assert server.control.stat().st_uid == nobody.pw_uid
    assert server.run("stop").returncode == 0
    server.wait_exit()


@needs_root
def test_an_ordinary_user_cannot_run_workers_as_another(folder, programs, nobody):
    place = folder / "here"
    config = write_config(place, "user www-data\n" + ONE_SITE, port=holdfast.free_port())
    shutil.chown(place, "nobody")
    said = refused(place, config, build=programs, user="nobody", group=nobody.pw_gid, extra_groups=[])
    assert "only root can run workers as another user" in said and "holdfast.conf:1:" in said


def test_every_process_bears_its_name_and_its_words(start_server):
    server = start_server(workers=2)
    names = {"anchor": "holdfast", "master": "holdfast-master", "keeper": "holdfast-keeper",
             "worker": "holdfast-worker"}
    for name, pid in every_process(settled(server)).items():
        role, _, slot = name.partition(" ")
        assert status_of(pid)["Name"] == names[role]
        if slot:
            assert [word(pid, at) for at in range(4)] == ["holdfast", role, f"slot={slot}", "gen=1"]
    assert word(server.pid, 0) == "holdfast-anchor" and not pids_of(server, "loader")


def test_no_terminal_reaches_masters_and_keepers(start_server):
    """Ctrl-C goes to the foreground group of the terminal's session: only the anchor is in it."""
    server = start_server(workers=1)
    slot = settled(server, 1)
    keeper, worker = slot["workers"][0]["keeper_pid"], slot["workers"][0]["pid"]
    assert session_of(server.pid) == server.pid  # the harness made it so
    assert session_of(keeper) == keeper and session_of(worker) == keeper
    assert session_of(slot["master"]["pid"]) == slot["master"]["pid"]


@pytest.mark.skipif(not int(status_of(os.getpid())["CapEff"], 16) >> 24 & 1,
                    reason="lowering a process's score needs CAP_SYS_RESOURCE")
def test_the_oom_killer_is_shown_to_the_workers(start_server):
    server = start_server(workers=1)
    score = {name.split()[0]: int(holdfast.pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text())
             for name, pid in every_process(settled(server, 1)).items()}
    assert score["anchor"] < score["master"] < score["keeper"] < score["worker"] == 0
