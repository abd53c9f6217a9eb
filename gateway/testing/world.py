"""A World: hosts, lines between them, and one clock that does not wait (`docs/testing.md`)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from random import Random, SystemRandom
from typing import Any, TypeVar

from actors.messages.session import AppSettings
from actors.names import Name
from gateway.api.slim import Slim
from gateway.node.peer_policy import PeerPolicy
from gateway.node.shared import forget
from gateway.testing.errors import Leftovers
from gateway.testing.host import Ground, SimHost, hint
from gateway.testing.issuer import LIFETIME, Issuer
from gateway.testing.line import Line
from gateway.testing.looking import failed_programs, held_by_node, picture, remains, unseen_error, wrongs
from gateway.testing.loop import SITE, THE_TEST, new_loop
from gateway.testing.network import Network
from gateway.testing.trace import Trace
from identity.claims import LEEWAY

T = TypeVar("T")

SEED_VARIABLE = "CALLBOARD_SEED"
QUIET = 90.0
"""Seconds without a change after which a World counts as settled: longer than the longest sign of life, six
rounds of pings (`docs/signs-of-life.md`)."""
PATIENCE = 900.0
"""Seconds within which it has to settle."""
FORGETTING = 100.0
"""Seconds after which a node has forgotten who is gone: its keepalive is over, and nobody came back."""
LIMIT = 86_400.0
FAREWELLS = 20
"""Of the things that a program which is put away may wait for at its end, one after the other."""
SHOWN = 60
"""Lines of the trace that a failure shows."""


class World:
    """`World(seed).run(test)` plays `test(world)`.

    One `seed` is one history: chance, latencies and losses follow from it. Without one, it is that of the
    variable CALLBOARD_SEED, or drawn. `weather` from 0 (none) to 1 makes every line slower and lossier;
    `limit` bounds the virtual seconds of a test; `strict` packs and unpacks every message between actors.
    """

    def __init__(
        self, seed: int | None = None, *, weather: float = 0.0, limit: float = LIMIT, strict: bool = False
    ) -> None:
        if seed is None and (seed := given_seed()) is None:
            seed = SystemRandom().randrange(2**32)
        self.seed = seed
        self.strict = strict
        self.random = Random(seed)
        """For the test's own choices."""
        self.loop = new_loop(limit=limit)
        self.trace = Trace()
        self.network = Network(self.loop, Random(f"{seed} network"), self.trace)
        self.network.weather = lambda line: _shape(line, weather)
        self.loop.refused = self._refused
        self._hosts: dict[str, SimHost] = {}
        self._issuers: dict[str, Issuer] = {}
        self._rest = contextlib.AsyncExitStack()
        """What comes after the test, before the end."""
        secret = f"the secret of world {seed}, known to all of its hosts"
        self._ground = Ground(seed, self.loop, self.network, strict, secret)

    def __repr__(self) -> str:
        return f"<World of seed {self.seed} at {self.now:.3f} s, {len(self._hosts)} hosts>"

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self.network.now

    @property
    def secret(self) -> str:
        """What `application` and `identity` know. Set it to that of programs that are to talk to these."""
        return self._ground.secret

    @secret.setter
    def secret(self, secret: str) -> None:
        self._ground.secret = secret

    def note(self, what: str, who: str = "test") -> None:
        """Write a line into the trace."""
        self.network.note(who, what)

    def _refused(self, what: str) -> None:
        site = SITE.get()
        self.note(what, "test" if site is None else site.name)

    # Hosts

    def host(self, name: str, **node_options: Any) -> SimHost:
        """The host of that name, made when first asked for; `node_options` are its data plane's.

        Raises ValueError for options of a host that was made before.
        """
        if name not in self._hosts:
            self._hosts[name] = SimHost(self._ground, name, node_options)
        elif node_options:
            raise ValueError(
                f"the host {name!r} is there already: give {', '.join(node_options)} when it is made"
            )
        return self._hosts[name]

    @property
    def hosts(self) -> list[SimHost]:
        """All hosts, oldest first."""
        return list(self._hosts.values())

    async def node(self, name: str = "node", **node_options: Any) -> SimHost:
        """A host that is a node, at the endpoint `sim://NAME`; if it is one already, that."""
        host = self.host(name, **node_options)
        if not (host.serves and host.up):
            await host.serve()
        return host

    async def peers(self, *names: str, **node_options: Any) -> list[SimHost]:
        """Nodes that are peers of one another: applications at different ones reach each other."""
        policy = PeerPolicy(token=self._ground.secret)
        nodes = [await self.node(name, peers=policy, node_id=name, **node_options) for name in names]
        for node in nodes:
            await node.peer(*(other for other in nodes if other is not node))
        return nodes

    async def backbone(self, name: str, *nodes: str, **node_options: Any) -> list[SimHost]:
        """Nodes on a backbone: `name` is the host of a stand-in for NATS. Returns the nodes."""
        server = self.host(name)
        await server.carry()
        made = [await self.node(node, node_id=node, **node_options) for node in nodes]
        for node in made:
            await node.join(server)
        return made

    async def controller(self, name: str, *nodes: str, **node_options: Any) -> list[SimHost]:
        """Nodes that the controller on the host `name` joins with one another. Returns the nodes."""
        commander = self.host(name)
        await commander.command()
        policy = PeerPolicy(token=self._ground.secret)
        made = [await self.node(node, peers=policy, node_id=node, **node_options) for node in nodes]
        for node in made:
            await node.obey(commander)
        return made

    async def application(
        self,
        name: str,
        *nodes: SimHost,
        host: str | None = None,
        settings: AppSettings | None = None,
        identity: tuple[Any, Any] | None = None,
    ) -> Slim:
        """An application, connected to `nodes`, on the host `host`, or on one called as its last part.

        `identity` is its provider and its verifier, by default those of `identity(name)`.
        """
        there = self.host(host or name.rpartition("/")[2])
        return await there.application(name, *nodes, settings=settings, identity=identity)

    def identity(
        self, name: str | Name, host: SimHost | None = None, *, lifetime: float | None = None
    ) -> tuple[Any, Any]:
        """Provider and verifier of an application: all of one World trust each other.

        Tokens are good for `lifetime` virtual seconds, by default for an hour. They draw from `host`'s
        chance.
        """
        return (host or self.host("identities")).identity(str(name), lifetime)

    def issuer(self, name: str = "issuer", *, lifetime: float = LIFETIME, leeway: float = LEEWAY) -> Issuer:
        """An issuer of tokens on the host `name`: `identity` of it is that of an application.

        Its tokens are good for `lifetime` virtual seconds, and verifiers allow for `leeway` more.
        """
        if name not in self._issuers:
            random = Random(f"{self.seed} {name} issues").randbytes
            self._issuers[name] = Issuer(self.host(name), random, lifetime, leeway)
        return self._issuers[name]

    # Lines

    def line(self, one: SimHost | str, two: SimHost | str) -> Line:
        """The line between two hosts."""
        return self.network.line(_name(one), _name(two))

    def partition(self, *groups: Iterable[SimHost | str]) -> None:
        """Let nothing through between hosts of different groups, and tell nobody; `heal` ends it."""
        if single := next((one for one in groups if isinstance(one, str | SimHost)), None):
            raise TypeError(f"partition takes groups: [{_name(single)!r}], [...]")
        named = [[_name(host) for host in group] for group in groups]
        for at, group in enumerate(named):
            for other in named[at + 1 :]:
                for one in group:
                    for two in other:
                        self.line(one, two).stall()

    def heal(self) -> None:
        """Mend every line and thaw every host. Hosts that were killed stay so."""
        for line in self.network.lines():
            line.mend()
        for host in self._hosts.values():
            if host.up:
                host.thaw()

    # The end

    async def quiet(self, seconds: float = QUIET, patience: float = PATIENCE) -> None:
        """Wait until nothing has changed for `seconds`. Raises Leftovers where `patience` is over before."""
        __tracebackhide__ = True
        deadline = self.now + patience
        seen, since = picture(self.hosts), self.now
        while self.now - since < seconds:
            await asyncio.sleep(min(5.0, seconds / 3))
            if (look := picture(self.hosts)) != seen:
                seen, since = look, self.now
            if self.now > deadline:
                down = [f"{host.name} is down: nobody restarted it" for host in self.hosts if not host.up]
                found = [*wrongs(self.hosts, self.loop), *down]
                raise Leftovers([f"it is not quiet after {patience:g} s", *found])

    async def settle(self) -> None:
        """Heal all, wait until nothing changes, and raise Leftovers if not all is well then.

        What is not well: calls that never ended, errors that nobody saw, actors and programs that failed,
        members of a session that disagree.
        """
        __tracebackhide__ = True
        self.note("heal")
        self.heal()
        await self.quiet()
        if found := wrongs(self.hosts, self.loop):
            raise Leftovers(found)

    async def end(self) -> None:
        """Settle, close everything in good order, and raise Leftovers if anything is left. `run` does it."""
        __tracebackhide__ = True
        await self.settle()
        self.note("close")
        nodes = [host for host in self.hosts if host.serves]
        await asyncio.gather(*(host.stop() for host in self.hosts if not host.serves))
        await asyncio.gather(*(host.end_programs() for host in nodes))
        await asyncio.sleep(FORGETTING)
        found = [line for host in nodes for line in await held_by_node(host)]
        found += [
            f"{line!r} was disturbed, and there is no host {name!r}"
            for line in self.network.lines()
            for name in line.ends
            if line.disturbed and name not in self._hosts
        ]
        await asyncio.gather(*(host.stop() for host in nodes))
        await asyncio.sleep(1.0)
        found += [line for host in self.hosts for line in remains(host)]
        found += map(unseen_error, self.loop.unseen)
        if found:
            raise Leftovers(found)

    def run(self, test: Callable[[World], Awaitable[T]]) -> T:
        """Play a test. What it raises carries seed and trace as a note."""
        __tracebackhide__ = True
        try:
            return self.play(self._play(test))
        finally:
            self._clear()

    def play(self, part: Coroutine[Any, Any, T]) -> T:
        """Play what comes before the test: for fixtures."""
        __tracebackhide__ = True
        try:
            result: T = self.loop.run_until_complete(self.loop.create_task(part, name=THE_TEST))
        except BaseException as error:
            said = error.found if isinstance(error, Leftovers) else ()
            error.add_note(self.story(but=said))
            raise
        return result

    def afterwards(self, part: Callable[[], Awaitable[None]]) -> None:
        """Have a part played after the test, whatever became of it, before all is closed; the last first."""
        self._rest.push_async_callback(part)

    async def _play(self, test: Callable[[World], Awaitable[T]]) -> T:
        __tracebackhide__ = True
        async with self._rest:
            result = await test(self)
        await self.end()
        return result

    def clear(self) -> None:
        """Put away a World that was not run, or only in part."""
        if self.loop.is_closed():
            return
        try:
            self.play(self._rest.aclose())
        finally:
            self._clear()

    def story(self, last: int = SHOWN, but: Iterable[str] = ()) -> str:
        """What failed besides `but`, how to repeat this history, and the `last` lines of its trace."""
        wrong = [*map(unseen_error, self.loop.unseen), *failed_programs(self.hosts)]
        repeat = f"repeat it with {SEED_VARIABLE}={self.seed}; the last of {self.trace.count} lines:"
        wrong = [line for line in wrong if line not in but]
        return "\n".join([*wrong, repeat, *self.trace.story(last)])

    def _clear(self) -> None:
        """Put away what was going on, in one order: whatever it does now, it does to nobody."""
        processes = [process for host in self.hosts for process in host.graveyard()]
        for process in processes:
            process.site.end()
        tasks = [task for process in processes for task in process.site.buried]
        tasks += sorted(asyncio.all_tasks(self.loop) - set(tasks), key=lambda task: task.get_name())
        done: set[asyncio.Task[Any]] = set()
        with warnings.catch_warnings():
            # What their clean-up begins, such as closing an application, nobody will await.
            warnings.simplefilter("ignore", RuntimeWarning)
            while tasks:
                for task in tasks:
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    _put_away(task.get_coro())
                # What their clean-up has begun.
                done.update(tasks)
                tasks = sorted(asyncio.all_tasks(self.loop) - done, key=lambda task: task.get_name())
        forget(self.loop)
        self.loop.close()


def _put_away(coroutine: Any) -> None:
    """Close it and those it waits for, inmost first, however often one goes on to wait for something else."""
    chain = []
    while hasattr(coroutine, "cr_await"):
        chain.append(coroutine)
        coroutine = coroutine.cr_await
    for each in reversed(chain):
        for _ in range(FAREWELLS):
            with contextlib.suppress(Exception):
                each.close()
            if each.cr_frame is None:
                break


def given_seed() -> int | None:
    """That of the variable CALLBOARD_SEED. Raises ValueError when it is no number."""
    given = os.environ.get(SEED_VARIABLE)
    if not given:
        return None
    if not given.isdecimal():
        raise ValueError(f"{SEED_VARIABLE} is {given!r}: it has to be a number, as a failing test prints it")
    return int(given)


def _shape(line: Line, weather: float) -> None:
    """A line in this weather."""
    line.latency = 0.001 + 0.1 * weather
    line.jitter = 0.15 * weather
    line.loss = 0.08 * weather


def _name(host: SimHost | str) -> str:
    if isinstance(host, str):
        return host
    if not isinstance(host, SimHost):
        raise TypeError(f"a host is wanted, or the name of one; a {type(host).__name__} is none{hint(host)}")
    return host.name
