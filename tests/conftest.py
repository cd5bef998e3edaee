"""What every test has: the build under test, servers that are stopped and checked, a seed, a time limit."""

import os
import pathlib
import shutil
import signal
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "e2e"))  # holdfast.py, for tests of all folders
sys.path.insert(0, str(HERE / "support"))

import holdfast  # noqa: E402

VARIANT = os.environ.get("HOLDFAST_VARIANT", "release")
SOAK = os.environ.get("HOLDFAST_SOAK") == "1"
TIME_LIMIT_S = 60


def pytest_configure(config):
    holdfast.become_subreaper()  # whatever a server leaves behind becomes our child, and is seen


def pytest_collection_modifyitems(config, items):
    def fits(item):
        mark, dear = item.get_closest_marker("variants"), item.get_closest_marker("dear")
        return (mark is None or VARIANT in mark.args) and (dear is None or SOAK or VARIANT in dear.args)

    config.hook.pytest_deselected(items=[item for item in items if not fits(item)])
    items[:] = [item for item in items if fits(item)]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for server in getattr(item, "servers", []):
            report.sections.append(("Captured stdout: the server's log", server.log()[-20000:]))


@pytest.fixture(autouse=True)
def time_limit(request):
    mark = request.node.get_closest_marker("limit")
    seconds = (mark.args[0] if mark else TIME_LIMIT_S) * (3 if VARIANT == "asan" else 1)

    def too_late(*_):
        pytest.fail(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def build():
    """The folder with the programs under test."""
    return holdfast.build_folder()


@pytest.fixture
def variant():
    return VARIANT


@pytest.fixture
def is_soak():
    """Whether the long suites run whole."""
    return SOAK


@pytest.fixture
def seed():
    """Seeds whatever a test draws by lot; the same each time unless HOLDFAST_SEED says otherwise."""
    return int(os.environ.get("HOLDFAST_SEED", "1"))


@pytest.fixture
def folder():
    """An empty folder with a path short enough for a Unix socket in it, open to other users."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="hf-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start_server(request, folder):
    """start_server(**arguments of holdfast.Server): a running server. At the end of the test each one is stopped
    gracefully, if the test did not do so, and what must hold then is checked."""
    servers = request.node.servers = []

    def start(**arguments):
        place = folder / str(len(servers))
        place.mkdir()
        server = holdfast.Server(place, **arguments)
        servers.append(server)
        server.start()
        return server

    yield start
    errors = []
    for server in servers:
        try:
            if server.is_running():
                server.stop()
        except BaseException as error:
            errors.append(error)
        finally:
            server.end_everything()
    if errors:
        raise errors[0]
