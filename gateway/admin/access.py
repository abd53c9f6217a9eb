"""Who may do what at the admin port: what is known of a request goes in, a role or a refusal comes out.

    unix socket                          operator (file rights let nobody else come that far)
    token, `Authorization: Bearer ...`   its role
    client certificate                   operator if its identity is listed, else reader
    cookie, after a one-time link        the role of who asked for the link
    nothing, on a loopback address       reader, unless there is a token
    nothing                              nobody: /healthz and /readyz without reasons

A browser sends cookies, and requests to loopback addresses, for whatever page it shows. So those that show no
token have to name this server as their host, and what changes something has to come from a page of ours.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from actors.record import record

LINK_LIFE = 120.0
"""Seconds for which a one-time link opens the door."""
LOGIN_LIFE = 12 * 3600.0
"""Seconds for which a browser stays logged in."""
LINKS_BOUND = 16
LOGINS_BOUND = 64
FAILURES = 10
"""Wrong tokens of one address within FAILURE_WINDOW after which more of them are answered late."""
FAILURE_WINDOW = 60.0
FAILURE_WAIT = 0.5
"""Seconds for which the answer to such a one waits."""
FAILING_BOUND = 1024
"""Addresses whose failures are remembered."""


class AdminRole(IntEnum):
    """What somebody may do: each role what those before it may, too."""

    NOBODY = 0
    READER = 1
    OPERATOR = 2


@record
class AdminRequest(NamedTuple):
    """What is known of a request before it is looked at."""

    method: str = "GET"
    host: str = ""
    address: str = ""
    """Whose, for logs and limits."""
    unix: bool = False
    uid: int | None = None
    """Of who called on a unix socket, where the system tells."""
    authorization: str = ""
    cookie: str = ""
    origin: str = ""
    site: str = ""
    """`Sec-Fetch-Site`, which browsers add."""
    identities: tuple[str, ...] | None = None
    """The names in a client certificate; None without one."""


class NotAdmitted(Exception):
    """A request that is refused: an HTTP status and a sentence, to be said after `wait` seconds."""

    def __init__(self, status: int, text: str, *, wait: float = 0.0) -> None:
        super().__init__(text)
        self.status, self.wait = status, wait


def digest_of(token: str) -> bytes:
    """What is compared. `sha256:HEX` is the digest itself. Raises ValueError for a broken one."""
    if token.startswith("sha256:"):
        digest = bytes.fromhex(token.removeprefix("sha256:"))
        if len(digest) != hashlib.sha256().digest_size:
            raise ValueError("sha256: is followed by 64 hex digits")
        return digest
    return hashlib.sha256(token.encode()).digest()


@record
class Tokens(NamedTuple):
    """Digests of the tokens of each role; None: there is none."""

    operator: bytes | None = None
    reader: bytes | None = None

    @classmethod
    def of(cls, operator: str | None, reader: str | None) -> Tokens:
        """Of texts. Raises ValueError."""
        return cls(*(digest_of(one) if one else None for one in (operator, reader)))

    def role(self, token: str) -> AdminRole:
        """Whose it is. All are compared, in a time that says nothing."""
        shown = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        operator = hmac.compare_digest(shown, self.operator or b"")
        reader = hmac.compare_digest(shown, self.reader or b"")
        return AdminRole.OPERATOR if operator else AdminRole.READER if reader else AdminRole.NOBODY


NO_TOKENS = Tokens()


@record
class _Grant(NamedTuple):
    role: AdminRole
    until: float


class AdminAccess:
    """Judges requests. `random` gives bytes for links and logins; time is an argument everywhere.

    `hosts` are the names, without port, by which this server may be called beside addresses.
    """

    def __init__(
        self,
        random: Callable[[int], bytes],
        tokens: Tokens = NO_TOKENS,
        *,
        loopback: bool = True,
        hosts: frozenset[str] = frozenset(),
        operators: frozenset[str] = frozenset(),
        uid: int = -1,
    ) -> None:
        self._random, self._tokens = random, tokens
        self._open = loopback and tokens == NO_TOKENS
        self._hosts = hosts | {"localhost"}
        self._operators = operators
        self._uid = uid
        self._links: OrderedDict[bytes, _Grant] = OrderedDict()
        self._logins: OrderedDict[bytes, _Grant] = OrderedDict()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def judge(self, asked: AdminRequest, now: float) -> AdminRole:
        """The role of who asks. Raises NotAdmitted."""
        if asked.unix:
            if asked.uid not in (None, 0, self._uid):
                raise NotAdmitted(403, "this socket is another user's")
            return AdminRole.OPERATOR
        if asked.authorization:
            return self._by_token(asked, now)
        if not self._is_own(asked.host):
            raise NotAdmitted(
                421, "this server is not called so: use its address, or list the name in admin.hosts"
            )
        if asked.site == "cross-site" or (asked.site == "same-site" and asked.method != "GET"):
            raise NotAdmitted(403, "asked for by a page of another site")
        if asked.origin and _authority(asked.origin) != asked.host.lower():
            raise NotAdmitted(403, "asked for by a page of another site")
        if asked.identities is not None:
            listed = self._operators.intersection(asked.identities)
            return AdminRole.OPERATOR if listed else AdminRole.READER
        if asked.cookie and (role := self._login(asked.cookie, now)):
            if asked.method != "GET" and not asked.origin:
                raise NotAdmitted(403, "a browser has to say by Origin which page asks")
            return role
        return AdminRole.READER if self._open else AdminRole.NOBODY

    def _by_token(self, asked: AdminRequest, now: float) -> AdminRole:
        scheme, _, token = asked.authorization.partition(" ")
        role = self._tokens.role(token.strip()) if scheme.lower() == "bearer" else AdminRole.NOBODY
        if role is AdminRole.NOBODY:
            # Many may share an address: who guesses there is slowed down, who knows the token is not.
            if self._fails_again(asked.address, now):
                raise NotAdmitted(429, "too many wrong tokens from this address", wait=FAILURE_WAIT)
            raise NotAdmitted(401, "the token is wrong")
        return role

    def _fails_again(self, address: str, now: float) -> bool:
        """Count a wrong token; whether there were too many before it."""
        count, since = self._failures.get(address, (0, now))
        if now - since > FAILURE_WINDOW:
            count, since = 0, now
        self._failures[address] = (count + 1, since)
        self._failures.move_to_end(address)
        if len(self._failures) > FAILING_BOUND:
            self._failures.popitem(last=False)
        return count >= FAILURES

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this server: an address always does, which no other name leads to."""
        name = _host(host)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._hosts
        return True

    # Browsers

    def link(self, role: AdminRole, now: float) -> str:
        """A code that logs one browser in, once, soon."""
        return self._grant(self._links, LINKS_BOUND, role, now + LINK_LIFE)

    def redeem(self, code: str, now: float) -> str:
        """The cookie for a code. Raises NotAdmitted when it is unknown, used or too old."""
        grant = self._links.pop(hashlib.sha256(code.encode("utf-8", "surrogateescape")).digest(), None)
        if grant is None or grant.until < now:
            raise NotAdmitted(
                403, "this link was used, or is too old: ask for another by `callboard admin link`"
            )
        return self._grant(self._logins, LOGINS_BOUND, grant.role, now + LOGIN_LIFE)

    def log_out(self, cookie: str) -> None:
        """The cookie is worth nothing any more."""
        self._logins.pop(hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).digest(), None)

    def _login(self, cookie: str, now: float) -> AdminRole:
        grant = self._logins.get(hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).digest())
        return grant.role if grant is not None and now <= grant.until else AdminRole.NOBODY

    def _grant(self, kept: OrderedDict[bytes, _Grant], bound: int, role: AdminRole, until: float) -> str:
        secret = self._random(32).hex()
        kept[hashlib.sha256(secret.encode()).digest()] = _Grant(role, until)
        if len(kept) > bound:
            kept.popitem(last=False)
        return secret


def _host(authority: str) -> str:
    """The name or address of "host:port" or "[::1]:port"."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.rpartition(":")[0].lower() if ":" in authority else authority.lower()


def _authority(origin: str) -> str:
    """The host and port of an origin; empty for "null" and whatever else is none."""
    scheme, separator, rest = origin.partition("://")
    return rest.lower() if separator and scheme in ("http", "https") else ""
