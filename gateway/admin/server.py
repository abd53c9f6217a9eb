"""The admin port: HTTP on a TCP address, and on a unix socket for commands of the node's own user.

    socket ──► AdminDoor (bounds) ──► aiohttp ──► AdminAccess (role) ──► endpoint ──► NodeView ──► JSON

It takes no signals, and what it does in one turn of the loop is bounded: lists come in pages, and what goes
over all connections goes in steps.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from actors.alarm import Alarm
from actors.messages.routing import Close
from actors.names import Name
from gateway.admin.access import LOGIN_LIFE, AdminAccess, AdminRequest, AdminRole, NotAdmitted, Tokens
from gateway.admin.door import REQUEST_WAIT, AdminCounts, AdminDoor, AdminDoors, library_log
from gateway.admin.endpoints import (
    ACTIONS,
    LISTINGS,
    READINGS,
    TRACE,
    AdminAction,
    CannotBe,
    Listing,
    NotThere,
    Reading,
    name_of,
)
from gateway.admin.events import Broadcast
from gateway.admin.facts import NodeFacts
from gateway.admin.message_trace import MessageTraces
from gateway.admin.metrics import CONTENT_TYPE, exposition
from gateway.admin.openapi import document
from gateway.admin.page_files import PATHS, POLICY, page_file
from gateway.admin.paging import API, BadQuery, Query, in_turns
from gateway.admin.peer_inquiries import PeerInquiries
from gateway.admin.rows import plain
from gateway.admin.sockets import listening_socket, made_directory, run_directory, socket_path
from gateway.admin.trace_stream import seconds_of, stream_trace
from gateway.admin.view import NodeView
from gateway.config.admin import AdminConfig
from gateway.config.node import DEFAULT_NODE
from gateway.http2.acceptor import tcp_sockets
from gateway.node.node import Node
from gateway.node.peer_policy import identities
from gateway.security.contexts import server_context
from gateway.security.material import Side, TlsSource
from identity.log import logger

BODY = 16 * 1024
"""Bytes of a request's body at most."""
LINE = 4096
"""Bytes of a request's first line, and of each header."""
ROWS = 50
"""Of a list, that are written in one turn of the loop."""
ROLE = web.RequestKey("role", AdminRole)
"""Of who asks."""
DOOR = web.RequestKey("door", AdminDoor)
_Response = TypeVar("_Response", bound=web.StreamResponse)
HEALTH = ("/healthz", "/readyz")
OPEN = (*HEALTH, "/login", *PATHS)
"""What nobody has to prove anything for."""
WRITE_WAIT = 5.0
"""Seconds within which a watcher takes an event."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AdminServer:
    """Serves a node's figures. `drain` is called when an operator wants the node to end."""

    def __init__(self, node: Node, drain: Callable[[], None]) -> None:
        self._node, self._drain = node, drain
        self.view = NodeView(node)
        plane = node.data_plane
        self._plane, self._clock = plane, plane.surroundings.clock
        self.counts = plane.telemetry.register(AdminCounts())
        self._alarm = Alarm()
        self._held = AsyncExitStack()
        self.address = ""
        """The TCP address in use."""
        self.path: Path | None = None
        """The unix socket in use."""
        self._access = AdminAccess(plane.surroundings.random, uid=os.getuid())
        self.doors: list[AdminDoors] = []
        """Of each socket."""
        self._secure = False
        """Whether the TCP address speaks TLS."""
        self.events = Broadcast(self.view, self.counts)
        around = plane.surroundings
        self._inquiries = PeerInquiries(node)
        self._traces = MessageTraces(plane.routes, around.clock, around.wall)

    async def __aenter__(self) -> AdminServer:
        self.view.begin()
        self._inquiries.start()
        self._held.callback(self._inquiries.close)
        self._held.callback(self.view.end)
        self._held.callback(self.events.stop)
        return self

    async def __aexit__(self, *_: object) -> None:
        # Who looks is not waited for.
        self._traces.close()
        await self._held.aclose()

    async def listen(self, config: AdminConfig) -> str:
        """Listen as configured. Returns the address in use. Raises ConfigError and OSError."""
        if config.path:
            return str(await self._open(Path(config.path)))
        host, port = config.target()
        context = None
        if config.encrypted:
            source = TlsSource(config.tls, Side.SERVER)
            self._held.push_async_callback(source.close)
            await source.start()
            context = server_context(config.tls, source)
        self._secure = context is not None
        self._access = AdminAccess(
            self._plane.surroundings.random,
            Tokens.of(config.token, config.reader_token),
            loopback=config.loopback,
            hosts=frozenset((host.lower(), *config.hosts)),
            operators=frozenset(config.operators),
        )
        server = await self._serve(await tcp_sockets(host, port), context, self._access)
        bound = server.sockets[0].getsockname()[1]
        self.address = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"
        logger.info("admin port open", endpoint=self.address)
        return self.address

    async def open_socket(self) -> Path:
        """Open the unix socket for commands. Raises OSError."""
        node_id = self._node.config.node_id
        ports = [address.rpartition(":")[2] for address in self._node.addresses]
        name = node_id if node_id != DEFAULT_NODE or not ports else ports[0]
        return await self._open(socket_path(made_directory(run_directory()), name))

    async def _open(self, path: Path) -> Path:
        one = listening_socket(path)
        self._held.callback(lambda: path.unlink(missing_ok=True))
        access = AdminAccess(self._plane.surroundings.random, uid=os.getuid())
        await self._serve([one], None, access)
        self.path = path
        return path

    async def _serve(
        self, sockets: list[socket.socket], context: ssl.SSLContext | None, access: AdminAccess
    ) -> asyncio.Server:
        doors = AdminDoors(lambda: runner.server(), self.counts)  # type: ignore[misc]  # there once it is set up
        app = web.Application(middlewares=[self._middleware(access, doors)], client_max_size=BODY)
        self._add_routes(app)
        self.router = app.router
        self.doors.append(doors)
        runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=library_log(self._unread),
            max_line_size=LINE,
            max_field_size=LINE,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        self._held.push_async_callback(runner.cleanup)
        self._held.callback(doors.cut_all)
        loop = asyncio.get_running_loop()
        more: dict[str, Any] = (
            {} if context is None else {"ssl": context, "ssl_handshake_timeout": REQUEST_WAIT}
        )
        servers = [await loop.create_server(doors, sock=one, **more) for one in sockets]
        for server in servers:
            self._held.callback(server.close)
        return servers[0]

    def _add_routes(self, app: web.Application) -> None:
        router = app.router
        for path in PATHS:
            router.add_get(path, self._page)
        router.add_get("/healthz", self._healthz)
        router.add_get("/readyz", self._readyz)
        router.add_get("/metrics", self._metrics)
        router.add_get("/login", self._login)
        router.add_post("/logout", self._logout)
        router.add_get(API + "/events", self._watch)
        router.add_get(API + "/openapi.json", self._openapi)
        for listing in LISTINGS:
            router.add_get(API + listing.path, partial(self._list, listing))
        for reading in READINGS:
            router.add_get(API + reading.path, partial(self._read, reading))
        router.add_get(API + TRACE.path, self._trace)
        for action in ACTIONS:
            router.add_post(API + action.path, partial(self._act, action))

    # Who asks

    def _middleware(self, access: AdminAccess, doors: AdminDoors) -> Any:
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.counts.requests += 1
            door = doors.of(request.protocol)
            if door is None:
                raise web.HTTPServiceUnavailable
            door.begun()
            request[DOOR] = door
            try:
                return await self._answer(access, request, handler)
            finally:
                door.done()

        return middleware

    async def _answer(
        self, access: AdminAccess, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        asked = _asked(request)._replace(cookie=request.cookies.get(self.cookie, ""))
        try:
            role = AdminRole.NOBODY
            try:
                role = access.judge(asked, self._clock())
            except NotAdmitted:
                # Probes call a node by whatever name they know.
                if request.path not in HEALTH:
                    raise
            reads = request.method in ("GET", "HEAD") or request.path == "/logout"
            needed = AdminRole.READER if reads else AdminRole.OPERATOR
            if role < needed and request.path not in OPEN:
                if role is AdminRole.NOBODY:
                    raise NotAdmitted(401, "a token is needed: Authorization: Bearer TOKEN")
                raise NotAdmitted(403, "this needs an operator")
        except NotAdmitted as error:
            if error.wait:
                await asyncio.sleep(error.wait)
            return self._refuse(error, asked)
        request[ROLE] = role
        try:
            return _guarded(await handler(request))
        except NotAdmitted as error:
            return self._refuse(error, asked)
        except BadQuery as error:
            return _error(400, str(error))
        except NotThere as error:
            return _error(404, str(error))
        except CannotBe as error:
            return _error(409, str(error))
        except web.HTTPException as error:
            return _error(error.status, error.reason)
        except Exception as error:
            logger.error("admin request failed", cause=type(error).__name__)
            return _error(500, "the request could not be answered; the node's log says more")

    def _refuse(self, error: NotAdmitted, asked: AdminRequest) -> web.StreamResponse:
        """Say so, to who asked and, not too often, to people."""
        self.counts.refused += 1
        if self._alarm.is_due(self._clock()):
            logger.warning(
                "admin request refused", peer=asked.address, cause=str(error), refused=self.counts.refused
            )
        return _error(error.status, str(error))

    def _unread(self, address: str, error: str) -> None:
        """The server library could not answer: not a word of what was sent is shown, it may be a token."""
        self.counts.unread += 1
        if self._alarm.is_due(self._clock()):
            logger.warning("admin request not read", peer=address, cause=error, count=self.counts.unread)

    # Health

    async def _healthz(self, request: web.Request) -> web.Response:
        """Whether the process is worth keeping."""
        failed = self._plane.failed.is_set()
        return self._state(request, not failed, "the route table failed" if failed else "")

    async def _readyz(self, request: web.Request) -> web.Response:
        """Whether calls should come here."""
        health = self._plane.health
        said = "; ".join([health.reason] if health.reason else self.view.problems())
        return self._state(request, health.serving, said)

    def _state(self, request: web.Request, good: bool, reason: str) -> web.Response:
        shown = "ok\n" if good else "not ready\n"
        if reason and request[ROLE]:
            shown = f"ok, but {reason}\n" if good else f"{reason}\n"
        return web.Response(text=shown, status=200 if good else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        text = exposition(self.view.node(), await self.view.samples())
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    # Browsers

    @property
    def cookie(self) -> str:
        """The name of our cookie: browsers send cookies to all ports of a host."""
        return f"callboard_{self.address.rpartition(':')[2]}"

    async def _page(self, request: web.Request) -> web.Response:
        file = page_file(request.path)
        headers = {"Content-Security-Policy": POLICY}
        return web.Response(text=file.text, content_type=file.content_type, headers=headers)

    async def _login(self, request: web.Request) -> web.Response:
        """Trade the code of a one-time link for a cookie, and go to where no code is in the address."""
        secret = self._access.redeem(request.query.get("code", ""), self._clock())
        # No redirect: with SameSite=Strict the cookie goes with what pages of ours ask for, and nothing else.
        page = '<!doctype html><meta http-equiv="refresh" content="0;url=/"><a href="/">On to the node</a>'
        response = web.Response(text=page, content_type="text/html")
        response.set_cookie(
            self.cookie,
            secret,
            max_age=int(LOGIN_LIFE),
            httponly=True,
            secure=self._secure,
            samesite="Strict",
        )
        return response

    async def _logout(self, request: web.Request) -> web.Response:
        self._access.log_out(request.cookies.get(self.cookie, ""))
        response = web.Response(text="logged out\n")
        response.del_cookie(self.cookie)
        return response

    # The API

    async def _openapi(self, _: web.Request) -> web.Response:
        return _json(document())

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events, until the watcher leaves, is too slow, or the node ends."""
        watcher = self.events.watch()
        if watcher is None:
            return _error(503, "too many watch this node already")
        response = _guarded(web.StreamResponse(headers={"Content-Type": "text/event-stream"}))
        try:
            await response.prepare(request)
            request[DOOR].streaming()
            while not watcher.too_slow.is_set():
                async with asyncio.timeout(WRITE_WAIT):
                    await response.write(await watcher.next())
        except (TimeoutError, ConnectionError):
            request[DOOR].cut()
        finally:
            self.events.leave(watcher)
        if watcher.too_slow.is_set():
            request[DOOR].cut()
        return response

    async def _list(self, listing: Listing, request: web.Request) -> web.Response:
        asked = request.query
        unknown = asked.keys() - {"limit", "cursor", "name"}
        if unknown:
            raise BadQuery(f"{min(unknown)[:40]}: not known here: limit, cursor, name")
        query = Query.read(asked.get("limit", ""), asked.get("cursor", ""), asked.get("name", ""))
        page = await listing.list(self.view, query)
        rest = {"next": page.cursor, **({"note": listing.note} if listing.note else {})}
        # In pieces: a thousand rows are more than one turn of the loop should write.
        items = [json.dumps(plain(row)) async for row in in_turns(page.items, ROWS)]
        text = f'{{"items": [{", ".join(items)}], {json.dumps(rest)[1:]}'
        return web.Response(text=text, content_type="application/json")

    async def _read(self, reading: Reading, request: web.Request) -> web.Response:
        return _json(plain(await reading.read(self, _parameters(request, reading.query))))

    async def _trace(self, request: web.Request) -> web.StreamResponse:
        asked = _parameters(request, TRACE.query)
        request[DOOR].streaming()
        return await stream_trace(request, self._traces, name_of(asked, "name"), seconds_of(asked))

    async def _act(self, action: AdminAction, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            members = json.loads(body) if body else {}
        except (ValueError, RecursionError):
            raise BadQuery("the body is not JSON") from None
        if not isinstance(members, dict):
            raise BadQuery("the body is a JSON object")
        for name, value in members.items():
            if name not in action.body or not isinstance(value, str) or len(value) > 256:
                known = ", ".join(action.body) or "nothing"
                raise BadQuery(f"the body may hold {known}, each a text of at most 256 characters")
        logger.info("operator acts", action=request.path, peer=_asked(request).address)
        return _json(await action.act(self, {**members, **request.match_info}))

    # What operators do (`gateway.admin.endpoints.AdminDesk`)

    async def kick(self, connection: int, cause: str) -> None:
        plane = self._plane
        if connection not in plane.links:
            raise NotThere(f"there is no connection {connection}")
        if connection not in plane.accepted:
            raise CannotBe("this node dialled that connection itself, and would again")
        address = plane.routes.addresses.get(connection)
        if address is None:
            plane.links[connection].abort(cause)
        else:
            plane.system.tell(address, Close(cause))

    async def inquire(self, source: Name, target: Name) -> list[NodeFacts]:
        return await self._inquiries.gather(source, target)

    def drain(self) -> None:
        self._drain()

    def link(self, role: AdminRole) -> str:
        if not self.address:
            raise CannotBe("this node has no admin address for browsers: start it with --admin HOST:PORT")
        host, _, port = self.address.rpartition(":")
        host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - it is not bound here
        scheme = "https" if self._secure else "http"
        return f"{scheme}://{host}:{port}/login?code={self._access.link(role, self._clock())}"


def _parameters(request: web.Request, known: Mapping[str, str]) -> Mapping[str, str]:
    """What the path and the query hold. Raises BadQuery for what is not known."""
    unknown = request.query.keys() - known.keys()
    if unknown:
        raise BadQuery(f"{min(unknown)[:40]}: not known here: {', '.join(known) or 'nothing'}")
    return {**request.query, **request.match_info}


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(value), status=status, content_type="application/json")


def _error(status: int, text: str) -> web.Response:
    response = _json({"error": text}, status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return _guarded(response)


def _guarded(response: _Response) -> _Response:
    """Nothing of it is kept, framed, or taken for something else."""
    if not response.prepared:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("X-Frame-Options", "DENY")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
    return response


def _asked(request: web.Request) -> AdminRequest:
    """The facts of a request."""
    headers, transport = request.headers, request.transport
    one = transport.get_extra_info("socket") if transport is not None else None
    unix = one is not None and one.family == socket.AF_UNIX
    peer = transport.get_extra_info("peername") if transport is not None else None
    return AdminRequest(
        method="GET" if request.method == "HEAD" else request.method,
        host=headers.get("Host", ""),
        address="unix socket" if unix else str(peer[0]) if peer else "",
        unix=unix,
        uid=_uid(one) if unix else None,
        authorization=headers.get("Authorization", ""),
        origin=headers.get("Origin", ""),
        identities=_identities(transport),
        site=headers.get("Sec-Fetch-Site", ""),
    )


def _uid(one: Any) -> int | None:
    """Whose process is at the other end of a unix socket, where the system tells."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    with suppress(OSError):
        _, uid, _ = struct.unpack("3i", one.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
        return int(uid)
    return None


def _identities(transport: Any) -> tuple[str, ...] | None:
    """The names in the certificate that a caller showed; None without one."""
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    return tuple(sorted(identities(certificate))) if certificate else None
