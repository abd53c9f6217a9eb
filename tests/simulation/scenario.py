"""Scenarios: what is played is data, drawn from a seed. Nothing here runs anything.

    Scenario.draw("sleep", 17) ──► cast, profile, steps in the order of their times

Steps name sessions and members by numbers that are taken modulo what there is when they come: so a scenario
from which steps were taken away is a scenario still.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random


@dataclass(frozen=True, slots=True)
class Profile:
    """What may happen in a scenario."""

    name: str
    faults: tuple[str, ...] = ()
    """Kinds of faults that are drawn from."""
    loss: float = 0.0
    jitter: float = 0.0
    small: bool = False
    """Whether queues are tiny."""
    nodes: int = 1
    """That are peers of one another; applications are spread over them."""
    backbone: bool = False
    """Whether nodes stand on a backbone instead, which is a host of its own."""
    controlled: bool = False
    """Whether nodes are joined by a controller, which is a host of its own."""
    moderated: bool = False
    """Whether a scripted moderator leads a group of all, on a host with a disk for its journal."""
    lifetime: float = 0.0
    """Seconds that tokens are good for, where they are to run out; 0: an hour."""
    issued: bool = False
    """Whether an issuer gives them, which is a host of its own."""
    shared: bool = False
    """Whether the first two applications live in one process."""
    more: tuple[str, ...] = ()
    """What else applications do, beside what they do in all profiles."""

    @property
    def calm(self) -> bool:
        """Whether nothing happens that a session has to end of."""
        return not self.faults and "reconnect" not in self.more


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("perfect"),
        Profile("shared", shared=True),
        Profile("slow", jitter=0.3),
        Profile("small", small=True),
        Profile("loss", loss=0.05),
        Profile("single", faults=("lose",)),
        Profile("sleep", faults=("freeze",)),
        Profile("cut", faults=("cut",)),
        Profile("stall", faults=("stall",)),
        Profile("restart", faults=("restart",)),
        Profile("death", faults=("kill",)),
        Profile("doze", faults=("doze",)),
        Profile("clocks", faults=("skew",)),
        Profile("reconnect", more=("reconnect",)),
        Profile("crowd", more=("crowd",)),
        Profile("alone", more=("alone",)),
        Profile("busy", loss=0.03, jitter=0.02, more=("chatter",)),
        Profile("narrow", faults=("stall", "freeze"), small=True, more=("chatter",)),
        Profile("peers", nodes=3),
        Profile("backbone", nodes=3, backbone=True),
        Profile("outage", ("part", "part", "cut", "restart"), nodes=3, backbone=True, more=("chatter",)),
        Profile("controlled", nodes=3, controlled=True, more=("order", "order", "chatter")),
        Profile(
            "headless", ("part", "restart", "restart", "power"), nodes=3, controlled=True, more=("order",)
        ),
        Profile(
            "moderated",
            ("restart", "power", "power", "cut", "freeze"),
            moderated=True,
            more=("turn_out", "chatter"),
        ),
        Profile("renewing", lifetime=15.0, issued=True, more=("new_key", "no_issuer", "invite")),
        Profile(
            "expiring",
            ("unissued", "unissued", "refused", "behind", "skew", "new_key", "freeze"),
            lifetime=8.0,
            issued=True,
            more=("invite", "chatter", "chatter", "reconnect"),
        ),
        Profile("brief", ("stall", "freeze", "skew", "cut"), lifetime=15.0, more=("new_secret", "invite")),
        Profile("parting", faults=("part", "part", "cut", "restart"), nodes=3, more=("chatter",)),
        Profile(
            "storm", ("freeze", "cut", "stall", "restart", "kill", "lose", "doze"), loss=0.02, jitter=0.1
        ),
    )
}
LOSABLE = (
    *("MSG", "MSG_ACK", "RTX_REQUEST", "RTX_REPLY", "JOIN_REQUEST", "JOIN_REPLY", "GROUP_ADD"),
    *("GROUP_REMOVE", "GROUP_WELCOME", "GROUP_ACK", "GROUP_CLOSE", "LEAVE_REQUEST", "LEAVE_REPLY", "PING"),
)
_ACTIONS = {
    "burst": 8,
    "large": 1,
    "request": 3,
    "invite": 2,
    "remove": 1,
    "leave": 1,
    "close": 1,
    "open": 1,
    "group": 1,
    "give_up": 1,
    "pause": 2,
}
SAID = {"burst": 40, "chatter": 20}
"""Of the verbs whose size is a number of messages: the remainder of a division by this counts."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens `at` so many seconds from the beginning, with the numbers that it takes."""

    at: float
    verb: str
    one: int = 0
    two: int = 0
    size: int = 0
    time: float = 0.0
    """How long a fault lasts."""
    word: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What `applications` do with one another, and what happens to them."""

    profile: Profile
    seed: int
    applications: int
    mls: bool
    steps: tuple[Step, ...]
    short: bool = False
    """Whether it is one of the default suite, which plays less of each."""

    @classmethod
    def draw(cls, profile: str, seed: int) -> Scenario:
        """The scenario of this seed."""
        random = Random(f"{profile} {seed}")
        chosen = PROFILES[profile]
        applications = random.randint(2, 5)
        mls = random.random() < 0.5
        steps = [Step(0.5, "group" if random.random() < 0.7 else "open", 0, 1, random.randrange(1, 2**16))]
        verbs, weights = list(_ACTIONS), list(_ACTIONS.values())
        at = 2.0
        for _ in range(random.randint(4, 16)):
            at += random.expovariate(0.4)
            verb = random.choices(verbs, weights)[0]
            one, two, size = (random.randrange(2**16) for _ in range(3))
            steps.append(Step(round(at, 3), verb, one, two, size))
        for _ in range(random.randint(1, 4) if chosen.faults else 0):
            when = round(random.uniform(1.0, at + 3.0), 3)
            kind = random.choice(chosen.faults)
            time = round(random.choice((random.uniform(0.2, 3), random.uniform(3, 20), 70.0)), 3)
            who, count = random.randrange(2**16), random.randint(1, 3)
            steps.append(Step(when, kind, who, random.randrange(2), count, time, random.choice(LOSABLE)))
        # To ask a controller for one thing is to ask for the first of several.
        rounds = 3 if chosen.controlled else 1
        for _ in range(rounds * random.randint(1, 3) if chosen.more else 0):
            when, time = round(random.uniform(1.0, at + 3.0), 3), round(random.uniform(0.2, 20), 3)
            numbers = [random.randrange(2**16) for _ in range(3)]
            steps.append(Step(when, random.choice(chosen.more), *numbers, time))
        return cls(
            chosen,
            seed,
            applications,
            mls,
            tuple(sorted(steps, key=lambda step: step.at)),
        )

    def without(self, steps: set[int]) -> Scenario:
        """The same, less some of its steps."""
        return replace(self, steps=tuple(s for number, s in enumerate(self.steps) if number not in steps))

    def shortened(self) -> Scenario:
        """The same with a quarter of what is said and half of what else is done; all the faults stay."""
        steps, kept = [], True
        for number, step in enumerate(self.steps):
            if number and step.verb in _ACTIONS:
                kept = not kept
                if not kept:
                    continue
            said = SAID.get(step.verb)
            steps.append(step if said is None else replace(step, size=step.size % said // 4))
        return replace(self, steps=tuple(steps), short=True)
