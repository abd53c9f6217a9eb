"""A controller that runs: its actor, its store and its two listeners."""

from __future__ import annotations

import secrets
import time
from contextlib import AsyncExitStack
from pathlib import Path

from actors.controller.actor import ControllerActor
from actors.controller.controller import Controller
from actors.messages import VOCABULARY
from actors.system import LoopSystem
from gateway.config import ServerConfig
from gateway.controller.access import AccessPolicy, AccessRole
from gateway.controller.audit import Audit
from gateway.controller.calls import Methods, listen
from gateway.controller.config import MEMORY, ControllerConfig, ServiceAuth
from gateway.controller.desk import Desk
from gateway.controller.northbound import Northbound
from gateway.controller.southbound import PATH, Southbound
from gateway.controller.store import MemoryStore, SqliteStore
from gateway.security.auth import bearer_verifier
from gateway.security.material import Side, TlsSource
from identity.log import logger

LOOPBACK = ("127.", "localhost", "[::1]", "unix:")


class ControllerProcess:
    """`start` it in a running loop, and `close` it. `strict` packs every message between actors: for
    tests."""

    def __init__(self, config: ControllerConfig, *, strict: bool = False) -> None:
        self._config = config
        self._strict = strict
        self._held = AsyncExitStack()
        self.northbound = ""
        """The address in use, once started."""
        self.southbound = ""
        """The same for nodes."""

    async def start(self) -> None:
        """Load the state and listen. Raises ConfigError, AuthError and OSError."""
        try:
            await self._start()
        except BaseException:
            await self._held.aclose()
            raise

    async def close(self, grace: float = 1.0) -> None:
        """Stop listening, end the streams of nodes, close the store. Idempotent."""
        await self._held.aclose()

    async def _start(self) -> None:
        config = self._config
        store = MemoryStore() if config.database == MEMORY else SqliteStore(Path(config.database))
        self._held.callback(store.close)
        audit = Audit(config.audit)
        self._held.callback(audit.close)
        core = Controller(
            secrets.randbelow,
            tls=config.link_tls,
            automatic=config.automatic,
            ack_time=config.ack_time,
            order_time=config.order_time,
            max_attempts=config.max_attempts,
        )
        core.load(store.load())
        system = LoopSystem(vocabulary=VOCABULARY if self._strict else None)
        self._held.push_async_callback(system.shutdown, 1.0)
        actor = system.spawn(ControllerActor, core, store, time.monotonic, secrets.randbelow)
        desk = Desk(system, actor, audit)
        # A node needs no role: it proves who it is, and registers as what it may.
        south_auth = await self._admission(config.southbound_auth, AccessRole.ADMIN)
        north_auth = await self._admission(config.northbound_auth, None)
        southbound = Southbound(desk, south_auth, dict(config.southbound_auth.nodes))
        northbound = Northbound(desk, southbound, north_auth)
        self.southbound = await self._listen(
            "southbound", config.southbound, Methods({}, {PATH: southbound.open}), south_auth
        )
        self.northbound = await self._listen(
            "northbound", config.northbound, Methods(northbound.methods(), {}), north_auth
        )

    async def _admission(self, auth: ServiceAuth, default: AccessRole | None) -> AccessPolicy:
        verifier = None
        if auth.jwt is not None:
            verifier = bearer_verifier(auth.jwt)
            await verifier.initialize()
            self._held.push_async_callback(verifier.close)
        return AccessPolicy(
            auth.passwords,
            auth.token,
            verifier,
            auth.certificates,
            auth.roles,
            auth.default_role if default is None else default,
        )

    async def _listen(
        self, what: str, config: ServerConfig, methods: Methods, admission: AccessPolicy
    ) -> str:
        source = TlsSource(config.tls, Side.SERVER)
        await source.start()
        self._held.push_async_callback(source.close)
        server = listen(config, methods, source)
        address = await server.start()
        self._held.push_async_callback(server.stop, 0.5)
        logger.info("listening", endpoint=address, kind=what)
        if admission.open and not address.startswith(LOOPBACK):
            logger.warning("everybody is let in: configure auth there", endpoint=address, kind=what)
        return address
