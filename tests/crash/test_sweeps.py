"""A kill at every system call, and in every state between two of them: a seeded sample in a check, all in a soak.

A point that was wrong is named in the failure: `sweep ... --point NAME` repeats it."""

import os

import pytest
from killers import ACCEPT, ACCEPT_BY_BUILD, BUILD, SOAK, long_or_short, run_sweep, wait_settled

pytestmark = [pytest.mark.variants("hooks", "release"), pytest.mark.limit(3700 if SOAK else 60)]

BUDGET_S = long_or_short(3500, 10)
STATE_BUDGET_S = long_or_short(3500, 14)  # each point is single-stepped to
REVIVAL_BUDGET_S = long_or_short(3500, 18)  # the list of the points is long, and made within it
# A check leaves one of the two kinds of TCP to the other build.
TARGETS = long_or_short([0, 1, 2], [1, 2] if BUILD == "release" else [0, 2])


@pytest.mark.parametrize("accept", ACCEPT_BY_BUILD)
def test_a_worker_may_die_at_every_system_call(start_victim, hooks, accept, seed, record_property):
    totals = sweep_worker(start_victim, hooks, accept, seed, "stop", long_or_short([], ["--sample", 1200]))
    record_property("points", f"{totals['reached']} reached of {totals['points']} tried of {totals['listed']}")
    assert totals["points"] >= 100


@pytest.mark.dear("hooks")
def test_a_worker_may_die_in_every_state_between_two_system_calls(start_victim, hooks, seed, record_property):
    """Every instruction that changes the arena opens a state; a death is the same wherever in it (watch.h)."""
    totals = sweep_worker(start_victim, hooks, "shared", seed, "state", long_or_short([], ["--sample", 800]),
                          STATE_BUDGET_S)
    record_property("points", f"{totals['reached']} reached of {totals['points']} tried")
    assert totals["points"] >= 20


@pytest.mark.dear("release")
def test_a_worker_may_die_between_any_two_instructions_after_a_system_call(start_victim, hooks, seed, record_property):
    totals = sweep_worker(start_victim, hooks, "shared", seed, "step", ["--sample", long_or_short(20_000, 800)])
    record_property("points", f"{totals['reached']} reached of {totals['points']} tried of {totals['listed']}")
    assert totals["points"] >= 100


@pytest.mark.dear("hooks")
@pytest.mark.parametrize("accept", ACCEPT)
def test_a_worker_may_die_at_every_system_call_of_its_revival(start_victim, hooks, accept, seed, record_property):
    totals = sweep_worker(start_victim, hooks, accept, seed, "revive", long_or_short([], ["--sample", 500]),
                          REVIVAL_BUDGET_S)
    record_property("points", f"{totals['reached']} reached of {totals['points']} tried of {totals['listed']}")
    assert totals["points"] >= 50


@pytest.mark.variants("hooks")
@pytest.mark.parametrize("mode", long_or_short(["state", "stop"], ["state"]))
def test_a_body_has_its_own_time_wherever_its_worker_dies(start_victim, hooks, mode, seed, record_property):
    """The body comes later than a head may (the part late-body): a death between a step and its deadline changes nothing."""
    totals = sweep_worker(start_victim, hooks, "shared", seed, mode, ["--parts", "late-body", *long_or_short([], ["--sample", 100])],
                          STATE_BUDGET_S, "header_timeout 1s\nbody_timeout 1m\n")
    record_property("points", f"{totals['reached']} reached of {totals['points']} tried")


@pytest.mark.parametrize("mode", ["stop", "state", "revive"] if SOAK else ["stop" if BUILD == "release" else "state"])
def test_a_worker_may_die_anywhere_while_a_client_is_announced(start_victim, hooks, mode, seed, record_property):
    """Connections that begin with a header of the PROXY protocol: on IPv4, IPv6 and a Unix socket."""
    parts = ["--parts", "header,get-small,fresh,half-close"]
    totals = sweep_worker(start_victim, hooks, "shared", seed, mode, [*parts, *long_or_short([], ["--sample", 600])],
                          spoken=True)
    record_property("points", f"{totals['reached']} reached of {totals['points']} tried")
    assert totals["points"] >= 20


def sweep_worker(start_victim, hooks, accept, seed, mode, more, seconds=BUDGET_S, top="", spoken=False):
    # Single steps take a worker a thousand times as long: the watchdog is to take that for no hang.
    if mode in ("step", "state"):
        top += "watchdog 10m\n"
    server = start_victim(workers=1, accept=accept, top=top, spoken=spoken)
    keeper = wait_settled(server)["workers"][0]["keeper_pid"]
    arguments = ["--keeper", keeper, "--mode", mode, "--seed", seed, "--seconds", seconds, *more]
    for target in (server.targets[i] for i in TARGETS):
        arguments += ["--target", target]
    totals = run_sweep(*arguments, *([] if hooks else ["--no-hooks"]), timeout=seconds + 60)
    status = wait_settled(server)
    server.wait_for(lambda s: all(worker["connections"] == 0 for worker in s.status()["workers"]))
    assert status["workers"][0]["poisoned"] == 0, "a SIGKILL is nobody's fault"
    assert "event=crash_loop" not in server.log()
    return totals


# Each in one of the two builds of a check.
OTHERS = {"hooks": [("master", "start", []), ("keeper", "run", []), ("keeper", "run", ["--kill-worker"])],
          "release": [("keeper", "start", []), ("loader", "start", []), ("master", "run", ["--kill-worker"])]}


@pytest.mark.parametrize("accept", ACCEPT)
@pytest.mark.parametrize("role, phase, more", long_or_short(OTHERS["hooks"] + OTHERS["release"], OTHERS.get(BUILD, [])), ids=lambda value: "-".join(value).strip("-") if isinstance(value, list) else value)
def test_the_others_may_die_at_every_system_call(role, phase, more, accept, folder, build, write_victim_config, seed,
                                                 record_property):
    config, targets = write_victim_config(folder, workers=1, accept=accept)
    log = folder / "server.log"
    status = f"{build}/holdfast status --json --control {folder}/control.sock > /dev/null 2>&1"
    arguments = ["--role", role, "--phase", phase, "--status", status, "--log", log, "--seed", seed,
                 "--seconds", long_or_short(3400, 6), *more, *long_or_short([], ["--sample", 40])]
    for target in targets:
        arguments += ["--target", target]
    try:
        totals = run_sweep(*arguments, "--launch", build / "holdfast", "run", "-c", config,
                           timeout=long_or_short(3600, 55))
    except AssertionError:
        print(log.read_text()[-20000:])
        raise
    record_property("points", f"{totals['reached']} reached of {totals['points']} tried of {totals['listed']}, "
                              f"{totals['excepted']} by the promise's exception")
    left = [name for name in os.listdir(folder) if name.endswith(".sock")]
    assert not left, f"left behind: {left}"
