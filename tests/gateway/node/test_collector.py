"""No collection of a node looks at very much, and no cycle stays for ever."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

from gateway.node.collector import GROWN, LEAST, PATIENCE, QUIET, THRESHOLDS, Growth

MIB = 1024 * 1024


def test_all_is_looked_at_when_memory_has_grown_by_a_part_and_by_some_bytes() -> None:
    for used in (10 * MIB, 1000 * MIB):
        enough = int(used * GROWN) + LEAST
        growth = Growth(used)
        assert not growth.due(enough - 1, 0.0)
        assert growth.due(enough, 0.0)
        growth.looked(enough)
        assert not growth.due(enough, 0.0)


def test_it_is_put_off_at_a_bad_time_but_not_for_ever() -> None:
    growth = Growth(MIB)
    assert [growth.due(100 * MIB, 2 * QUIET) for _ in range(PATIENCE + 1)] == [False] * PATIENCE + [True]
    growth.looked(MIB)
    assert not growth.due(100 * MIB, 2 * QUIET)
    assert growth.due(100 * MIB, QUIET)


PROGRAM = """
import gc, json, weakref
from gateway.node.collector import PERIOD, THRESHOLDS, Collector

class Loop:
    # Whoever runs it says when time goes on.
    now, timers = 0.0, []
    def time(self):
        return self.now
    def call_later(self, delay, callback, *args):
        self.timers.append((callback, args))
        return self
    def cancel(self):
        self.timers.clear()
    def go_on(self):
        self.now += PERIOD
        (callback, args), = self.timers
        self.timers.clear()
        callback(*args)

looked = []
def look(phase, info):
    if phase == "start" and info["generation"] == 2:
        looked.append(sum(len(gc.get_objects(generation=number)) for number in range(3)))
def most():
    found = max(looked, default=0)
    looked.clear()
    return found
gc.callbacks.append(look)

class Thing:
    pass
def things(count=300_000):
    for _ in range(count):
        one = Thing()
        one.own = [one.__class__]
        yield one

before = gc.get_threshold()
held = list(things())
found = {"by Python's rules": most()}
loop, memory = Loop(), [1 << 20]
collector = Collector(loop, lambda: memory[0])
collector.start()
found["at the start"] = most()
held += things()
found["then"] = most()

young, old = Thing(), Thing()
young.me, old.me = young, old
watched = {"young": weakref.ref(young), "old": weakref.ref(old)}
del young
held += things(100_000)
del old
held += things(100_000)
found["left"] = [name for name, one in watched.items() if one() is not None]
loop.go_on()
found["left by a look"] = [name for name, one in watched.items() if one() is not None]
memory[0] = 1 << 30
most()
loop.go_on()
found["left when memory has grown"] = [name for name, one in watched.items() if one() is not None]
found["when it has grown"] = most()
held += things()
found["after that"] = most()
collector.stop()
found["undone"] = gc.get_threshold() == before and gc.callbacks == [look] and not loop.timers
print(json.dumps(found))
"""


def test_a_collection_looks_at_what_is_new_and_at_all_when_memory_has_grown() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    found: dict[str, Any] = json.loads(done.stdout)
    # A collection is due when its number is passed; some objects are still on their way to the next.
    rounds = THRESHOLDS[0] + 1, THRESHOLDS[1] + 1, THRESHOLDS[2] + 3
    most = math.prod(rounds)
    assert found["by Python's rules"] > 3 * most, "the objects were too few to tell"
    assert found["at the start"] > 300_000
    assert 0 < found["then"] <= most
    assert found["left"] == found["left by a look"] == ["old"]
    assert found["left when memory has grown"] == []
    assert found["when it has grown"] > 600_000
    assert 0 < found["after that"] <= most
    assert found["undone"]
