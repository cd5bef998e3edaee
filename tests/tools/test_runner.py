"""The runner counts each case and takes nothing for success that is none."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import testing  # noqa: E402


def outcomes(text, code=0):
    return [(case.name, case.outcome) for case in testing.tap_cases("p", code, text)]


def test_each_line_of_a_program_is_a_case():
    assert outcomes("1..2\nok 1 - one\nok 2 - two\n# ok - tests\n") == [
        ("p: one", "passed"), ("p: two", "passed")]


def test_a_failure_carries_what_was_said_about_it():
    cases = testing.tap_cases("p", 1, "1..3\nok 1 - one\nbefore\nnot ok 2 - two\n# after\nok 3 - three\n")
    assert [case.outcome for case in cases] == ["passed", "failed", "passed"]
    assert cases[1].text == "before\n# after"


def test_a_skipped_case_is_neither_passed_nor_failed():
    assert outcomes("1..1\nnot ok 1 # SKIP here\n") == [("p: # SKIP here", "skipped")]


@pytest.mark.parametrize("text, code", [
    ("1..3\nok 1 - one\n", -11),
    ("1..3\nok 1 - one\n", 0),
    ("1..1\nok 1 - one\n", 1),
    ("1..1\nok 1 - one\n", None),
    ("", 0),
    ("Segmentation fault\n", -11),
])
def test_a_program_that_ends_before_it_is_done_has_failed(text, code):
    assert [outcome for _, outcome in outcomes(text, code)].count("failed") == 1


TESTS = '''
import pytest
def test_a_good_one(): pass
def test_a_bad_one(): assert 1 == 2, "one is not two"
@pytest.fixture
def late():
    yield
    raise AssertionError("left behind")
def test_bad_at_its_end(late): pass
@pytest.mark.skip(reason="not on this kernel")
def test_left_out(): pass
'''


def run_pytest(tmp_path, monkeypatch, text):
    monkeypatch.setattr(testing, "BUILDS", tmp_path)
    (tmp_path / "test_it.py").write_text(text)
    return testing.run_pytest("it", tmp_path, "hooks", [tmp_path / "test_it.py"])


def test_tests_of_pytest_are_counted_one_by_one(tmp_path, monkeypatch):
    cases = run_pytest(tmp_path, monkeypatch, TESTS)
    assert testing.count(cases) == "1 passed, 2 failed, 1 skipped"
    texts = {case.name: case.text for case in cases}
    assert "one is not two" in texts["test_it: test_a_bad_one"]
    assert "left behind" in texts["test_it: test_bad_at_its_end"]
    assert texts["test_it: test_left_out"] == "not on this kernel"


def test_a_test_file_that_cannot_be_read_has_failed(tmp_path, monkeypatch):
    assert "failed" in {case.outcome for case in run_pytest(tmp_path, monkeypatch, "import nothing_there\n")}


def test_a_run_that_takes_too_long_is_ended_and_has_failed(tmp_path):
    cases = testing.run_check("slow", ["tail", "-f", "/dev/null"], tmp_path / "log", timeout=0.01)
    assert [case.outcome for case in cases] == ["failed"]
