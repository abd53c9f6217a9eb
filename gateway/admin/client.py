"""How commands ask the admin port: of a node of this machine by its socket, of others by address and token.

with AdminClient.find(node="east") as admin:
    admin.get("/node"), admin.items("/connections", name="10.")
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from gateway.admin.paging import API
from gateway.admin.sockets import local_sockets, run_directory
from identity.errors import ConfigError, SlimError
from identity.files import reason_of

WAIT = 10.0
"""Seconds for an answer."""
EVENT_WAIT = 30.0
"""Seconds within which a stream of events says something."""


class AdminUnreachable(SlimError):
    """No node answers, or not as one does."""


class AdminRefused(SlimError):
    """A node answered that it does not do what was asked. `status` is that of HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class AdminClient:
    """Asks one node. `target` is the path of a socket, or a URL; `verify` as httpx takes it."""

    def __init__(self, target: Path | str, token: str = "", *, verify: Any = True) -> None:
        self.target = str(target)
        if isinstance(target, Path):
            transport = httpx.HTTPTransport(uds=str(target))
            self._http = httpx.Client(transport=transport, base_url="http://localhost", timeout=WAIT)
            return
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        base = target if "://" in target else f"http://{target}"
        self._http = httpx.Client(
            base_url=base, headers=headers, timeout=WAIT, verify=verify, trust_env=False
        )

    @classmethod
    def find(cls, *, admin: str = "", token: str = "", node: str = "", verify: Any = True) -> AdminClient:
        """The node at the address `admin`; else the one of this machine called `node`, or the only one.

        Raises ConfigError in a sentence that says what there is to choose from.
        """
        if admin:
            if admin.startswith("unix://"):
                return cls(Path(admin.removeprefix("unix://")))
            return cls(admin, token, verify=verify)
        found = local_sockets()
        if node:
            for path in found:
                if path.stem == node or path.stem == node.replace("/", "-"):
                    return cls(path)
        elif len(found) == 1:
            return cls(found[0])
        names = ", ".join(path.stem for path in found)
        if found:
            wanted = f"no node {node} of this user" if node else "several nodes of this user"
            raise ConfigError(f"{wanted}; there are: {names}: say --node NAME", field="node")
        raise ConfigError(
            f"no node of this user answers in {run_directory()}: start one (callboard start), or say --admin "
            "HOST:PORT and a token",
            field="admin",
        )

    def __enter__(self) -> AdminClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at a path below /api/v1. Raises AdminUnreachable, AdminRefused."""
        asked = {key: value for key, value in query.items() if value not in (None, "")}
        return self._answer("GET", path, params=asked)

    def items(self, path: str, *, most: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """The rows of a list, page after page, at most `most` of them. Raises as `get` does."""
        cursor, count = None, 0
        while True:
            page = self.get(path, cursor=cursor, **{"limit": 500, **query})
            for row in page["items"]:
                if most is not None and count == most:
                    return
                count += 1
                yield row
            cursor = page["next"]
            if cursor is None:
                return

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Order something. Raises as `get` does."""
        return self._answer("POST", path, json=dict(body or {}))

    def events(self, path: str = "/events", **query: Any) -> Iterator[tuple[str, Any]]:
        """What happens, as (kind, JSON), until the node ends the stream. Raises as `get` does."""
        try:
            with self._http.stream("GET", API + path, params=query, timeout=EVENT_WAIT) as response:
                if response.status_code != 200:
                    response.read()
                    raise _refusal(response)
                kind = "message"
                for line in response.iter_lines():
                    field, _, value = line.partition(": ")
                    if field == "event":
                        kind = value
                    elif field == "data":
                        yield kind, json.loads(value)
        except httpx.RemoteProtocolError as exc:
            raise AdminUnreachable(f"{self.target}: the node has ended, and its events with it") from exc
        except httpx.HTTPError as exc:
            raise AdminUnreachable(f"{self.target} does not answer: {_why(exc)}") from exc

    def _answer(self, method: str, path: str, **more: Any) -> Any:
        try:
            response = self._http.request(method, API + path, **more)
        except httpx.HTTPError as exc:
            raise AdminUnreachable(f"{self.target} does not answer: {_why(exc)}") from exc
        if response.status_code != 200:
            raise _refusal(response)
        try:
            return response.json()
        except ValueError as exc:
            raise AdminUnreachable(f"{self.target} is no admin port: it answers no JSON") from exc


def _refusal(response: httpx.Response) -> AdminRefused:
    try:
        text = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        text = f"HTTP {response.status_code}"
    if response.status_code == 401:
        text += "; at the command line: --admin-token-file FILE"
    return AdminRefused(response.status_code, text)


def _why(error: httpx.HTTPError) -> str:
    """In words, without the number of the system's error."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return reason_of(cause) if cause is not None else str(error) or type(error).__name__
