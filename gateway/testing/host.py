"""A host of a World: a machine with its own chance and its own wall clock, on which one process runs."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

from actors.messages.session import AppSettings
from actors.moderation.script import Script
from actors.names import Name
from gateway.api.slim import Slim
from gateway.api.version import get_version
from gateway.config import ClientConfig, ServerConfig
from gateway.config.controlled import ControllerLink
from gateway.config.network import BackboneConfig
from gateway.config.section import Section
from gateway.links.stream import Stream
from gateway.links.transport import Server
from gateway.node.controlled import ControlledNode, registration
from gateway.node.data_plane import DataPlane
from gateway.node.peer_policy import peer_configs
from gateway.node.shared import kept
from gateway.testing import backbone
from gateway.testing.controller import PORT as CONTROLLER
from gateway.testing.controller import SimController
from gateway.testing.disk import SimDisk
from gateway.testing.errors import NotInWorld
from gateway.testing.loop import VirtualLoop
from gateway.testing.moderating import lead
from gateway.testing.network import PORT, Network
from gateway.testing.process import SimProcess
from identity.provider import IdentityProvider, IdentityVerifier
from identity.randomness import RandomBytes
from identity.sealed_log import BOOT_BYTES

Program = Callable[..., Coroutine[Any, Any, Any]]

EPOCH = 1_900_000_000.0
"""Unix seconds at which every World begins."""


def _endpoint(node: object) -> str:
    """That of a node, or the one given."""
    if isinstance(node, SimHost):
        return f"sim://{node.name}"
    if isinstance(node, str):
        return node
    raise TypeError(f"a node is wanted, or an endpoint; a {type(node).__name__} is none{hint(node)}")


def coroutine_of(program: Program, arguments: tuple[Any, ...]) -> Coroutine[Any, Any, Any]:
    """What `run` runs. Raises TypeError for what is no coroutine function."""
    if not callable(program):
        raise TypeError("run takes a coroutine function and its arguments; call takes a coroutine")
    name = name_of(program)
    try:
        coroutine = program(*arguments)
    except RuntimeError as error:
        error.add_note(f"run takes a coroutine function: in place of {name}, what it gives to asyncio.run")
        raise
    if not inspect.iscoroutine(coroutine):
        raise TypeError(f"run takes a coroutine function; {name} returned a {type(coroutine).__name__}")
    return coroutine


def check_coroutine(given: object) -> None:
    """Raises TypeError for what `call` does not take."""
    if not inspect.iscoroutine(given):
        raise TypeError(f"call takes a coroutine, {given!r} is none; run takes a coroutine function")


def name_of(program: Program) -> str:
    """What its task is called."""
    return getattr(program, "__qualname__", repr(program))


def hint(value: object) -> str:
    """What to add to an error about a value that was not awaited."""
    return ": await it" if inspect.isawaitable(value) else ""


@dataclass(slots=True)
class Ground:
    """What all hosts of a World stand on."""

    seed: int
    loop: VirtualLoop
    network: Network
    strict: bool
    secret: str
    """Which all their identities know."""


class SimHost:
    """`World.host` makes it. `node_options` are those of its data plane (`DataPlane`)."""

    controller: SimController | None = None
    """The controller that runs there (`command`)."""

    def __init__(self, ground: Ground, name: str, node_options: dict[str, Any]) -> None:
        self.name = name
        self._ground = ground
        self._random = Random(f"{ground.seed} {name}")
        self._options = node_options
        self._offset = 0.0
        self._disks: dict[str, SimDisk] = {}
        self._power_cuts = 0
        self._programs: list[tuple[Program, tuple[Any, ...]]] = []
        self._served: list[dict[str, Any]] = []
        self._peers: list[str] = []
        self._backbones: tuple[str, ...] = ()
        self._carries = False
        self._controlled_by: tuple[str, ...] = ()
        self._controlled: ControlledNode | None = None
        self._commands: dict[str, Any] | None = None
        self._former: list[SimProcess] = []
        self._plane: DataPlane | None = None
        self._applications: list[Slim] = []
        self.tasks: list[asyncio.Task[Any]] = []
        """The programs that were begun in the process that runs now."""
        self.process: SimProcess | None = None
        """What runs there; None after `kill`."""
        self._boot()

    def __repr__(self) -> str:
        state = "down" if self.process is None else "frozen" if self.process.site.frozen else "up"
        return f"<SimHost {self.name}, {state}>"

    def _boot(self) -> SimProcess:
        ground = self._ground
        self.process = process = SimProcess(self.name, ground.loop, ground.network, self._random, self.wall)
        ground.network.running[self.name] = process.site
        self._plane = self._controlled = self.controller = None
        self._applications, self.tasks = [], []
        return process

    def _running(self) -> SimProcess:
        if self.process is None:
            raise NotInWorld(f"anything on {self.name}", "it was killed; restart it")
        return self.process

    def _process_for(self, coroutine: Coroutine[Any, Any, Any]) -> SimProcess:
        """What is to run `coroutine`; where nothing runs, Python is not to say that it was never awaited."""
        if self.process is None:
            coroutine.close()
        return self._running()

    # What runs there

    @property
    def up(self) -> bool:
        """Whether a process runs there, frozen or not."""
        return self.process is not None

    @property
    def serves(self) -> bool:
        """Whether it is a node: `serve` was called."""
        return bool(self._served)

    @property
    def plane(self) -> DataPlane:
        """The data plane of what `serve` and `application` make there."""
        process = self._running()
        if self._plane is None:
            options = {"strict": self._ground.strict, **self._options}
            make = process.context.copy().run
            self._plane = make(lambda: DataPlane(surroundings=process.surroundings, **options))
        return self._plane

    @property
    def planes(self) -> list[DataPlane]:
        """All data planes there: also those that programs made."""
        if self.process is None:
            return []
        mine = [] if self._plane is None else [self._plane]
        return mine + [plane for keeper in self._keepers() for plane in keeper.planes]

    @property
    def applications(self) -> list[Slim]:
        """All applications there that are open: also those that programs made."""
        made = [app for app in self._applications if not app.closed]
        return made + [app for keeper in self._keepers() for app in keeper.members if isinstance(app, Slim)]

    def _keepers(self) -> list[Any]:
        if self.process is None:
            return []
        keeper = kept(self._ground.loop, self.process.surroundings)
        return [] if keeper is None else [keeper]

    async def serve(self, **config: Any) -> str:
        """Be a node: listen. Returns the endpoint to dial, which stays the same through restarts.

        `config` are further keys of a listener's configuration.
        """
        given = {"endpoint": f"sim://{self.name}", **config}
        address = await self.plane.serve(ServerConfig.read(given))
        if given not in self._served:
            self._served.append(given)
        return f"sim://{address}"

    async def peer(self, *nodes: SimHost) -> None:
        """Be a peer of these nodes, now and after each restart (`World.peers`)."""
        self._peers = [f"sim://{node.name}" for node in nodes]
        await self._peering()

    def _peering(self) -> Coroutine[Any, Any, None]:
        # Ids of links are drawn from this host's chance.
        configs = self._running().context.copy().run(peer_configs, self._peers)
        return self.plane.peer(configs)

    async def join(self, *backbones: SimHost) -> None:
        """Stand on a backbone of these hosts (`World.backbone`), now and after each restart."""
        self._backbones = tuple(f"nats://{host.name}" for host in backbones)
        await self._joining()

    def _joining(self) -> Coroutine[Any, Any, None]:
        return self.plane.join(BackboneConfig(self._backbones))

    async def carry(self) -> None:
        """Be a server of a backbone, now and after each restart."""
        self._carries = True
        config = ServerConfig.read({"endpoint": f"sim://{self.name}:{backbone.PORT}"})
        server = backbone.SimServer(self._random)
        await self._running().listener(config, server.accept).start()

    async def command(self, **options: Any) -> None:
        """Be a controller, now and after each restart: its state is the file `controller` (`disk`).

        `options` are those of `actors.controller.controller.Controller`.
        """
        self._commands = options
        process, strict = self._running(), self._ground.strict
        make = process.context.copy().run
        disk = self.disk("controller")
        self.controller = make(lambda: SimController(process, disk, strict=strict, **options))
        await process.begin(self.controller.start(), "controller")

    async def obey(self, *controllers: SimHost) -> None:
        """Register with these controllers, now and after each restart. Called once it serves."""
        self._controlled_by = tuple(f"sim://{host.name}:{CONTROLLER}" for host in controllers)
        await self._obeying()

    async def _obeying(self) -> None:
        identity = {"type": "shared_secret", "data": self._ground.secret}
        section = Section(
            {
                "clients": [{"endpoint": endpoint} for endpoint in self._controlled_by],
                "token_provider": identity,
                "token_verifier": identity,
            },
            "controller",
        )
        plain = {"tls": {"insecure": True}}
        servers = [(ServerConfig.read({**each, **plain}), f"{self.name}:{PORT}") for each in self._served]
        said = registration(self.name, "", servers, get_version())
        self._controlled = ControlledNode(self.plane, ControllerLink.read(section), said)
        await self._running().begin(self._controlled.start(), "controllers")

    async def application(
        self,
        name: str | Name,
        *nodes: SimHost | str,
        settings: AppSettings | None = None,
        identity: tuple[Any, Any] | None = None,
    ) -> Slim:
        """An application there, connected to `nodes` (hosts or endpoints).

        `identity` is its provider and its verifier, by default those of `identity(name)`.
        """
        full = Name.parse(name) if isinstance(name, str) else name
        process = self._running()
        provider, verifier = identity or self.identity(str(full))
        plane = self.plane
        make = process.context.copy().run
        app = make(lambda: Slim(full, provider, verifier, data_plane=plane, settings=settings))
        self._applications.append(app)
        for node in nodes:
            await app.connect({"endpoint": _endpoint(node)})
        return app

    def run(self, program: Program, *arguments: Any) -> asyncio.Task[Any]:
        """Run `program(*arguments)`, a coroutine function as it is, there: now, and again after a restart."""
        task = self._begin(program, arguments)
        self._programs.append((program, arguments))
        return task

    def call(self, coroutine: Coroutine[Any, Any, Any], name: str = "call") -> asyncio.Task[Any]:
        """Run a coroutine there once: it freezes and ends with the host."""
        check_coroutine(coroutine)
        return self._process_for(coroutine).begin(coroutine, name)

    def moderate(
        self, name: str, channel: Name | str, script: type[Script], node: SimHost | str
    ) -> asyncio.Task[Any]:
        """Lead a group by a script there (`docs/moderators.md`), as application `name`, through `node`.

        It keeps a journal, the file `journal` (`disk`): after each restart it goes on with its group.
        """
        return self.run(lead, self, name, channel, script, _endpoint(node))

    def _begin(self, program: Program, arguments: tuple[Any, ...]) -> asyncio.Task[Any]:
        name = name_of(program)
        coroutine = coroutine_of(program, arguments)
        task = self._process_for(coroutine).begin(coroutine, name)
        self.tasks.append(task)
        return task

    # What may happen to it

    def kill(self, *, loudly: bool = True) -> None:
        """End what runs there, at once. Loudly: the system closes its streams; else only silence tells."""
        process = self._running()
        self.note("killed" if loudly else "killed silently")
        site = process.site
        site.end()
        self._former.append(process)
        self.process = None
        network = self._ground.network
        # Powered off, it answers nobody; of a process that ended, the system says so.
        network.running[self.name] = site if loudly else None
        network.vanish(site, loudly=loudly)

    def cut_power(self) -> None:
        """Kill it silently; its disks lose what was not synced, in part or as a whole."""
        self.kill(loudly=False)
        self._power_cuts += 1
        self._disks = {name: disk.after_power_cut(self._random) for name, disk in self._disks.items()}

    async def restart(self) -> None:
        """Start it again, killing it before if it runs: what served serves, and every program begins anew.

        Applications that the test made are gone; make them again.
        """
        if self.process is not None:
            self.kill()
        self.note("restarted")
        process = self._boot()
        self._ground.network.come_back(process.site)
        for config in self._served:
            await self.plane.serve(ServerConfig.read(config))
        if self._commands is not None:
            await self.command(**self._commands)
        if self._controlled_by:
            await self._obeying()
        if self._carries:
            await self.carry()
        if self._backbones:
            self.call(self._joining(), "joining")
        if self._peers:
            # Not awaited: one that is away may come when it will.
            self.call(self._peering(), "peering")
        for program, arguments in self._programs:
            self._begin(program, arguments)

    def freeze(self) -> None:
        """Let nothing run there until `thaw`; nobody is told, and what is sent there waits.

        What the test itself calls of an application there acts nevertheless: use `call` and `run`.
        """
        site = self._running().site
        if not site.frozen:
            self.note("frozen")
            site.frozen = True
            self._ground.network.watch_silence()

    def thaw(self) -> None:
        """Let it run on."""
        site = self._running().site
        if site.frozen:
            self.note("thawed")
            self._ground.loop.thaw(site)
            self._ground.network.watch_silence()

    def skew(self, seconds: float) -> None:
        """Set its clock on the wall forward (or back); timers keep their pace."""
        self.note(f"clock set by {seconds:+g} s")
        self._offset += seconds

    def disk(self, name: str) -> SimDisk:
        """A file there, which outlives the processes."""
        return self._disks.setdefault(name, SimDisk())

    def take_over(self, name: str, other: SimHost) -> SimDisk:
        """Have a file of another host from now on, as with a volume that goes over: what it has is synced."""
        if other is not self:
            disk = other.disk(name)
            disk.sync()
            del other._disks[name]
            self._disks[name] = disk
        return self.disk(name)

    @property
    def boot_id(self) -> bytes:
        """What tells one run of the machine from the next, and from those of others."""
        run = f"{self._ground.seed} {self.name} {self._power_cuts}"
        return blake2b(run.encode(), digest_size=BOOT_BYTES).digest()

    def wall(self) -> float:
        """Unix seconds, as it believes."""
        return EPOCH + self._ground.network.now + self._offset

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds that only grow, whatever is done to the clock on the wall."""
        return self._ground.loop.time

    @property
    def random(self) -> RandomBytes:
        """Its chance."""
        return self._random.randbytes

    def note(self, what: str) -> None:
        """Write a line about it into the trace."""
        self._ground.network.note(self.name, what)

    # Its place in the network (`gateway.links.schemes.Scheme`)

    def listener(self, config: ServerConfig, accept: Callable[[Stream], None]) -> Server:
        """What listens there, once it is started."""
        return self._running().listener(config, accept)

    def dialler(self, config: ClientConfig) -> Callable[[], Awaitable[Stream]]:
        """Dials from there. It raises CannotConnect."""
        return self._running().dialler(config)

    # Ending

    async def end_programs(self) -> None:
        """Cancel programs and close applications, in good order. What serves goes on."""
        if self.process is None:
            return
        self.thaw()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for app in self.applications:
            await app.close()
        for keeper in self._keepers():
            await keeper.end()

    async def stop(self) -> None:
        """End what runs there in good order: programs, applications, data planes."""
        await self.end_programs()
        if self.process is None:
            return
        if self._controlled is not None:
            await self._controlled.close()
        if self.controller is not None:
            await self.controller.close()
        if self._plane is not None:
            await self._plane.close()

    def graveyard(self) -> list[SimProcess]:
        """Every process that ran here."""
        return [*self._former, *([self.process] if self.process is not None else [])]

    def identity(self, name: str, lifetime: float | None = None) -> tuple[Any, Any]:
        """Provider and verifier that draw from this host's chance."""
        window: dict[str, Any] = {} if lifetime is None else {"validity_window": lifetime}
        secret, random = self._ground.secret, self._random.randbytes
        provider = IdentityProvider.SharedSecret(name, secret, random=random, **window)
        return provider, IdentityVerifier.SharedSecret(name, secret, **window)
