"""What name servers can answer, and what is made of it."""

import subprocess

import pytest

from name_server import NameServer


@pytest.fixture
def names():
    with NameServer() as server:
        yield server


@pytest.fixture
def look_up(build, names):
    def run(name):
        """(failure or None, TTL in ms or None, [(address, port, weight, is_backup)])"""
        command = [build / "tests/e2e/resolve_once", "127.0.0.1", str(names.port), name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        (word, value), *found = [line.split() for line in done.stdout.splitlines()]
        found = [(address, int(port), int(weight), int(backup)) for address, port, weight, backup in found]
        return (value if word == "failure" else None), (int(value) if word == "ttl" else None), found

    return run


def test_both_families_are_found_with_the_least_ttl(names, look_up):
    names.set("a.example", "A", ["192.0.2.2", "192.0.2.1"], ttl=60)
    names.set("a.example", "AAAA", ["2001:db8::1"], ttl=7)
    failure, ttl, found = look_up("A.Example:80")
    assert (failure, ttl) == (None, 7000)
    assert found == [("192.0.2.1", 80, 1, 0), ("192.0.2.2", 80, 1, 0), ("2001:db8::1", 80, 1, 0)]
    assert sorted(names.questions) == [("a.example", "A", "udp"), ("a.example", "AAAA", "udp")]


def test_one_family_alone_is_enough(names, look_up):
    names.set("four.example", "A", ["192.0.2.1"], ttl=9)
    names.set("six.example", "AAAA", ["2001:db8::1"], ttl=9)
    assert look_up("four.example:1") == (None, 9000, [("192.0.2.1", 1, 1, 0)])
    assert look_up("six.example:1") == (None, 9000, [("2001:db8::1", 1, 1, 0)])


def test_an_address_stands_there_once(names, look_up):
    names.set("a.example", "A", ["192.0.2.1", "192.0.2.1"])
    assert look_up("a.example:80")[2] == [("192.0.2.1", 80, 1, 0)]


def test_aliases_are_followed_and_their_ttl_counts(names, look_up):
    names.alias("www.example", "cdn.example", ttl=3)
    names.alias("cdn.example", "a.example", ttl=30)
    names.set("a.example", "A", ["192.0.2.1"], ttl=60)
    assert look_up("www.example:80") == (None, 3000, [("192.0.2.1", 80, 1, 0)])


def test_services_give_hosts_ports_weights_and_backups(names, look_up):
    services = [(10, 5, 8080, "a.example"), (10, 0, 8081, "b.example"), (20, 7, 8082, "a.example"), (0, 0, 0, ".")]
    names.set("_app._tcp.example", "SRV", services, ttl=20)
    names.set("a.example", "A", ["192.0.2.1"], ttl=60)
    names.set("b.example", "A", ["192.0.2.2"], ttl=4)
    names.set("b.example", "AAAA", ["2001:db8::2"], ttl=60)
    failure, ttl, found = look_up("_app._tcp.example")
    assert (failure, ttl) == (None, 4000)
    assert found == [("192.0.2.1", 8080, 5, 0), ("192.0.2.2", 8081, 1, 0), ("2001:db8::2", 8081, 1, 0),
                     ("192.0.2.1", 8082, 7, 1)]


def test_a_service_whose_targets_do_not_exist_has_no_address(names, look_up):
    names.set("_app._tcp.example", "SRV", [(1, 1, 80, "gone.example")])
    names.set("_none._tcp.example", "SRV", [(0, 0, 0, ".")])
    assert look_up("_app._tcp.example")[0] == "dns_no_such_name"
    assert look_up("_none._tcp.example")[0] == "dns_no_address"


def test_no_records_are_told_from_no_name(names, look_up):
    names.set("mail.example", "SRV", [])
    assert look_up("mail.example:80") == ("dns_no_address", None, [])
    assert look_up("mail.example") == ("dns_no_address", None, [])
    assert look_up("gone.example:80") == ("dns_no_such_name", None, [])
    assert look_up("gone.example") == ("dns_no_such_name", None, [])


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "FORMERR"])
def test_a_server_that_says_it_failed_has(names, look_up, rcode):
    names.fail("a.example", rcode)
    assert look_up("a.example:80")[0] == "dns_server_failed"


@pytest.mark.parametrize("habit, reason", [
    ("silent", "dns_timeout"),
    ("other_question", "dns_timeout"),  # whoever asks goes on waiting: it may be forged
    ("bad_records", "dns_bad_answer"),
    ("circle", "dns_bad_answer"),
])
def test_what_cannot_be_used_is_told_apart(names, look_up, habit, reason):
    names.misbehave("a.example", habit)
    assert look_up("a.example:80") == (reason, None, [])


def test_garbage_is_no_answer(names, look_up):
    names.misbehave("a.example", "garbage")
    failure, _, found = look_up("a.example:80")
    assert failure in ("dns_timeout", "dns_bad_answer", "dns_server_failed") and found == []


def test_what_is_found_beside_a_failure_is_used_but_not_for_long(names, look_up):
    names.set("a.example", "A", ["192.0.2.1"], ttl=600)
    names.misbehave("a.example", "silent", kinds=["AAAA"])
    assert look_up("a.example:80") == (None, 5000, [("192.0.2.1", 80, 1, 0)])


def test_a_cut_answer_is_asked_for_again_by_tcp(names, look_up):
    addresses = [f"192.0.2.{i}" for i in range(1, 31)]
    names.set("a.example", "A", addresses, ttl=8)
    names.cut("a.example")
    failure, ttl, found = look_up("a.example:80")
    assert (failure, ttl) == (None, 8000)
    assert sorted(address for address, *_ in found) == sorted(addresses)
    assert ("a.example", "A", "tcp") in names.questions


def test_a_later_answer_replaces_the_former(names, look_up):
    names.set("a.example", "A", ["192.0.2.1"], ttl=60)
    assert look_up("a.example:80")[2] == [("192.0.2.1", 80, 1, 0)]
    names.set("a.example", "A", ["192.0.2.2"], ttl=0)
    assert look_up("a.example:80") == (None, 0, [("192.0.2.2", 80, 1, 0)])
    names.fail("a.example", "NXDOMAIN")
    assert look_up("a.example:80")[0] == "dns_no_such_name"
