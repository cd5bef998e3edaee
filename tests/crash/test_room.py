"""Room is made for new connections while the worker dies again and again."""

import pytest
from clients import Client
from killers import Killing, long_or_short

pytestmark = [pytest.mark.variants("hooks", "release"), pytest.mark.limit(120)]

CONFIG = """workers 1
control {control}
max_connections 20
site 127.0.0.1:{port} {
    files {www}
}
"""


def test_every_new_connection_is_answered_and_the_oldest_idle_ones_end_cleanly(start_server, seed):
    server = start_server(config=CONFIG)
    (server.www / "index.html").write_bytes(b"index")
    clients, rounds = [], long_or_short(5000, 400)  # and as many more as a quick machine wants for its kills
    with Killing(server, seed) as killing:
        while rounds > 0 or (killing.kills <= 3 and rounds > -20_000):
            rounds -= 1
            client = Client(server)
            assert client.get("/").status == 200
            clients.append(client)
            if len(clients) > 40:
                oldest = clients.pop(0)  # closed long ago, and not by a reset
                assert oldest.has_ended()
                oldest.close()
    assert killing.kills > 3
    living = [client for client in clients if client.is_quiet()]
    assert clients[-len(living):] == living and 10 <= len(living) <= 20
    for client in living:
        assert client.get("/").status == 200
    for client in clients:
        client.close()
    status = server.status()["workers"][0]
    assert status["poisoned"] == 0 and "event=revival_odd" not in server.log()
