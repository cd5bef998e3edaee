"""Handovers beside a test: builds with test hooks move all connections of one slot to another on the word of a test."""

import multiprocessing

from test_generations import command


def handovers(server):
    return {slot["slot"]: slot for slot in command(server, "test-handovers")["result"]}


def hand_over(server, source, target):
    """All that slot `source` has now goes to slot `target`; waits until that is over."""
    before = handovers(server)
    assert command(server, f"test-hand-over {source} {target}")["ok"]

    def is_over(_):
        now = handovers(server)
        has_begun = all(now[slot]["links_seen"] > before[slot]["links_seen"] for slot in (source, target))
        return now if has_begun and not any(slot["links"] for slot in now.values()) else None

    return server.wait_for(is_over, 20)


class Moving:
    """Moves everything between slots 0 and 1, to and fro, as long as it is entered, in a process of its own."""

    def __init__(self, server):
        context = multiprocessing.get_context("fork")
        self.server, self.is_over, self.turns = server, context.Event(), context.Value("i", 0)
        self.process = context.Process(target=self.run, daemon=True)

    def run(self):
        while not self.is_over.is_set():
            hand_over(self.server, self.turns.value % 2, 1 - self.turns.value % 2)
            self.turns.value += 1

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, kind, *_):
        self.is_over.set()
        self.process.join()
        assert kind or self.process.exitcode == 0, "a handover did not come to its end"

    def has_moved(self, at_least):
        """In words; fails if fewer changed hands, or a batch was refused."""
        after = handovers(self.server)
        given = sum(slot["given"] for slot in after.values())
        refused = sum(slot["refused"] for slot in after.values())
        longest = max(slot["longest_ns"] for slot in after.values())
        told = f"{given} moved in {self.turns.value} turns, {refused} batches refused, longest freeze {longest / 1e6:.1f} ms"
        assert given >= at_least and not refused, told
        return told
