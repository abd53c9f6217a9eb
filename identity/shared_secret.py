"""Shared secret tokens: making and checking them (`identity.md` 2).

    <id>:<timestamp>:<nonce>:<claims>:<mac>

`id` is the configured identity and a random suffix chosen once per provider; `timestamp` is Unix seconds;
`nonce` is 12 random bytes; `claims` is a JSON object or empty; `mac` is the HMAC-SHA256 of the four parts
before it, as written. The binary parts are base64url without padding.

Whoever holds the secret can be anybody: a token proves membership, not who the member is.
"""

from __future__ import annotations

import binascii
import hmac
import math
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from identity.encoding import Malformed, b64url_decode, b64url_encode, compact_json, parse_object
from identity.errors import ConfigError, InvalidToken
from identity.message_key import PUBKEY_CLAIM, new_pubkey
from identity.options import seconds, utf8
from identity.protocols import Claims
from identity.randomness import RandomBytes, ambient
from identity.record import record
from identity.variant import Variant
from identity.verified import VerifiedTokens

MIN_SECRET_BYTES = 32
VALIDITY_WINDOW = 3600.0
"""Seconds a token is good for, counted from its timestamp."""
CLOCK_SKEW = 5.0
"""Seconds a timestamp may lie ahead of the verifier's clock."""
TOKEN_REUSE = 5.0
"""Seconds a provider hands out one token before it makes the next (`identity.md` 1.1)."""
NONCE_BYTES = 12
SUFFIX_CHARACTERS = 8
MAX_TOKEN_CHARACTERS = 64 * 1024

_SUFFIX_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_IDENTITY = re.compile(r"[^:\s]+")
_TO_BASE64URL = bytes.maketrans(b"+/", b"-_")


class SharedSecretProvider(Variant, secrets=("shared_secret",)):
    """Tokens made with a secret that all applications share (`identity.md` 2).

    `strict` refuses secrets under 32 bytes (otherwise they work, with one warning per process). A token is
    handed out again for up to `token_reuse` seconds, never past 2/3 of `validity_window`; peers
    that keep a replay cache need `token_reuse=0`. `clock_skew` says nothing here: it is taken so that one set
    of options serves both halves. Raises ConfigError.
    """

    identity: str
    shared_secret: str
    strict: bool
    validity_window: float
    clock_skew: float
    token_reuse: float

    def __init__(
        self,
        identity: str,
        shared_secret: str,
        *,
        strict: bool = False,
        validity_window: float = VALIDITY_WINDOW,
        clock_skew: float = CLOCK_SKEW,
        token_reuse: float = TOKEN_REUSE,
        random: RandomBytes | None = None,
    ) -> None:
        check_identity(identity)
        seconds(clock_skew, "clock_skew")
        self._strict = strict
        self._key = _secret_key(shared_secret, strict=strict)
        window = seconds(validity_window, "validity_window", positive=True)
        self._reuse = min(seconds(token_reuse, "token_reuse"), window * 2 / 3)
        self._random = random = random or ambient()
        self._id = f"{identity}_{_suffix(random)}"
        self._pubkey = new_pubkey(random)
        self._token = ""
        self._token_made = 0.0
        self._generation = 0

    async def initialize(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to release."""

    def get_id(self) -> str:
        """The configured identity with this object's random suffix: `svc_Ab3dE5gH`."""
        return self._id

    def take_id(self, id: str) -> None:
        """Go on under the id of an earlier object of the same identity. Raises ConfigError."""
        suffix = id.removeprefix(f"{self.identity}_")
        if suffix == id or len(suffix) != SUFFIX_CHARACTERS or not set(suffix) <= set(_SUFFIX_ALPHABET):
            raise ConfigError(f"{id!r} is no id of the identity {self.identity!r}", field="identity")
        self._id = id
        self._token = ""

    @property
    def generation(self) -> int:
        """Grows with each secret that replaced another."""
        return self._generation

    def get_token(self, now: float) -> str:
        """A token for a message sent at `now`, made at most `token_reuse` seconds before."""
        if self._token and 0 <= now - self._token_made < self._reuse:
            return self._token
        self._token = self._make({PUBKEY_CLAIM: self._pubkey}, now)
        self._token_made = now
        return self._token

    async def get_token_with_claims(self, claims: Mapping[str, Any], now: float) -> str:
        """A new token that carries `claims`; a `pubkey` among them stands in for this object's own.

        Raises ConfigError when the claims have no JSON form.
        """
        return self._make({PUBKEY_CLAIM: self._pubkey, **claims}, now)

    def replace_secret(self, shared_secret: str) -> None:
        """Make every further token with another secret. Raises ConfigError."""
        self._key = _secret_key(shared_secret, strict=self._strict)
        self._arguments["shared_secret"] = shared_secret
        self._token = ""
        self._generation += 1

    def _make(self, claims: Mapping[str, Any], now: float) -> str:
        return make_token(self._key, self._id, int(now), self._random(NONCE_BYTES), claims)


class SharedSecretVerifier(Variant, secrets=("shared_secret",)):
    """Checks tokens made with a secret that all applications share (`identity.md` 2).

    `identity` is compared with nothing: whoever holds the secret is accepted. `strict` refuses secrets under
    32 bytes; a token is good from `clock_skew` seconds before its time to `validity_window` seconds after.

    Verified tokens are remembered by their text (bounded), so that checking the token of a stream of messages
    costs one look-up and the time window. `replay_cache` is the number of (nonce, timestamp) pairs kept to
    refuse a token that comes a second time; 0 turns that off. Sessions show a token again, for some seconds
    and when they re-send, and verify it more than once: it is for tokens that are seen once, and says so with
    a warning. Raises ConfigError.

    Not thread-safe: one event loop owns it.
    """

    identity: str
    shared_secret: str
    strict: bool
    validity_window: float
    clock_skew: float
    replay_cache: int

    def __init__(
        self,
        identity: str,
        shared_secret: str,
        *,
        strict: bool = False,
        validity_window: float = VALIDITY_WINDOW,
        clock_skew: float = CLOCK_SKEW,
        replay_cache: int = 0,
    ) -> None:
        check_identity(identity)
        self._strict = strict
        self._key = _secret_key(shared_secret, strict=strict)
        self._previous: _PreviousKey | None = None
        self._window = seconds(validity_window, "validity_window", positive=True)
        self._skew = seconds(clock_skew, "clock_skew")
        if isinstance(replay_cache, bool) or not isinstance(replay_cache, int) or replay_cache < 0:
            raise ConfigError("replay_cache is a number of entries, 0 or more", field="replay_cache")
        self._replay = _ReplayCache(replay_cache) if replay_cache else None
        if self._replay is not None:
            _warn_replay_cache()
        self._verified: VerifiedTokens[bool] = VerifiedTokens()
        self._generation = 0

    async def initialize(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to release."""

    @property
    def generation(self) -> int:
        """Grows with each secret that replaced another, and with a replay cache with each token."""
        return self._generation

    def try_verify(self, token: str, now: float) -> None:
        """Check a token at `now`. Raises InvalidToken; never KeysMissing."""
        if self._verified.get(token, now) is None:
            self._check(token, int(now))

    def try_get_claims(self, token: str, now: float) -> Claims:
        """Check a token and return `sub`, `iat`, `exp` and `custom_claims`.

        Raises InvalidToken, also when the claims do not decode to a JSON object: `try_verify` does not look
        at them.
        """
        self.try_verify(token, now)
        identity, timestamp, _nonce, claims, _mac = token.split(":")
        issued = int(timestamp)
        return {
            "sub": identity,
            "iat": issued,
            "exp": issued + int(self._window),
            "custom_claims": _decode_claims(claims),
        }

    async def verify(self, token: str, now: float) -> None:
        """As `try_verify`."""
        self.try_verify(token, now)

    async def get_claims(self, token: str, now: float) -> Claims:
        """As `try_get_claims`."""
        return self.try_get_claims(token, now)

    def replace_secret(self, shared_secret: str, *, now: float, overlap: float = 0.0) -> None:
        """Check against another secret; tokens of the present one stay good for `overlap` seconds from `now`.

        Raises ConfigError.
        """
        key = _secret_key(shared_secret, strict=self._strict)
        until = int(now + seconds(overlap, "overlap"))
        self._previous = _PreviousKey(self._key, until) if overlap else None
        self._key = key
        self._arguments["shared_secret"] = shared_secret
        self._verified.clear()
        self._generation += 1

    def _check(self, token: str, clock: int) -> None:
        """Checks in the reference's order (`identity.md` 2.2); both ends of the window are inclusive."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise InvalidToken(f"token over {MAX_TOKEN_CHARACTERS} characters", rule="size")
        parts = token.split(":", 5)
        if len(parts) != 5:
            raise InvalidToken("not a shared secret token: it has five parts", rule="format")
        _identity, timestamp, nonce, _claims, mac = parts
        # str.isdigit alone takes the digits of every script; int() takes signs, spaces and underscores.
        if len(timestamp) > 20 or not (timestamp.isascii() and timestamp.isdigit()):
            raise InvalidToken("the timestamp is not plain decimal digits", rule="timestamp")
        issued = int(timestamp)
        if issued - clock > self._skew:
            raise InvalidToken(f"made {issued - clock} s in the future", rule="not_yet_valid")
        if clock - issued > self._window:
            raise InvalidToken(f"expired: older than {self._window:g} s", rule="expired")
        try:
            signed = token[: -len(mac) - 1].encode("utf-8")
            given = mac.encode("ascii")
        except UnicodeEncodeError:
            raise InvalidToken("the token is not text that can be signed", rule="format") from None
        last = self._last_second(signed, given, issued, clock)
        if self._replay is not None:
            # No memory of verified tokens beside it: every verification must reach the replay cache.
            self._replay.admit(nonce, issued, clock, self._window)
            self._generation += 1
            return
        # To the end of the last second: times are compared in whole seconds here.
        self._verified.remember(token, math.ceil(issued - self._skew), math.nextafter(last + 1, 0), True)

    def _last_second(self, signed: bytes, mac: bytes, issued: int, clock: int) -> int:
        """The last second the token is good for, by the key that fits its MAC. Raises InvalidToken.

        Comparing with the one canonical base64url text decides in one step that the MAC decodes strictly,
        has 32 bytes and is right.
        """
        expires = math.floor(issued + self._window)
        if hmac.compare_digest(_mac(self._key, signed), mac):
            return expires
        previous = self._previous
        if (
            previous is not None
            and clock <= previous.until
            and hmac.compare_digest(_mac(previous.key, signed), mac)
        ):
            return min(expires, previous.until)
        raise InvalidToken("made with another secret, or changed on the way", rule="secret")


def make_token(key: bytes, identity: str, timestamp: int, nonce: bytes, claims: Mapping[str, Any]) -> str:
    """One token; no claims leave their part empty. Raises ConfigError for claims without a JSON form."""
    try:
        encoded = b64url_encode(compact_json(dict(claims))) if claims else ""
    except Malformed as error:
        raise ConfigError(f"the claims are {error}", field="claims") from error
    signed = f"{identity}:{timestamp}:{b64url_encode(nonce)}:{encoded}"
    return f"{signed}:{_mac(key, signed.encode('utf-8')).decode('ascii')}"


def check_identity(identity: str) -> None:
    """Raise ConfigError unless `identity` can stand in a token: not empty, no colon, no white space."""
    if not isinstance(identity, str) or not _IDENTITY.fullmatch(identity):
        # A text is not shown: it is the secret where somebody mixed up the two.
        seen = "" if isinstance(identity, str) else f", got {type(identity).__name__}"
        raise ConfigError(f"identity must be a text without colons and white space{seen}", field="identity")
    utf8(identity, "identity")


@record
class _PreviousKey(NamedTuple):
    """The key before the present one, and the last second it counts."""

    key: bytes
    until: int

    def __repr__(self) -> str:
        return f"_PreviousKey(until={self.until})"


class _ReplayCache:
    """The (nonce, timestamp) pairs of verified tokens, oldest first; at most `size` of them."""

    __slots__ = ("_seen", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()

    def admit(self, nonce: str, issued: int, clock: int, window: float) -> None:
        """Remember a token that is seen for the first time. Raises InvalidToken for the second."""
        seen = self._seen
        while seen and clock - next(iter(seen))[1] > window:
            seen.popitem(last=False)
        if (nonce, issued) in seen:
            raise InvalidToken("a token that was used before", rule="replay")
        seen[nonce, issued] = None
        if len(seen) > self._size:
            seen.popitem(last=False)


def _mac(key: bytes, signed: bytes) -> bytes:
    digest = hmac.digest(key, signed, "sha256")
    return binascii.b2a_base64(digest, newline=False)[:43].translate(_TO_BASE64URL)


def _secret_key(secret: str, *, strict: bool) -> bytes:
    if not isinstance(secret, str) or not secret:
        seen = "" if isinstance(secret, str) else f", got {type(secret).__name__}"
        raise ConfigError(f"shared_secret must be a text that is not empty{seen}", field="shared_secret")
    key = utf8(secret, "shared_secret")
    if len(key) < MIN_SECRET_BYTES:
        if strict:
            raise ConfigError(
                f"shared_secret has {len(key)} bytes; strict mode needs {MIN_SECRET_BYTES} "
                "(make one with: openssl rand -base64 32)",
                field="shared_secret",
            )
        _warn_short_secret()
    return key


@cache
def _warn_short_secret() -> None:
    """Once per process: an application with a hundred peers needs to read this once.

    Python shows the line that warns: this one, for that of our caller may hold the secret.
    """
    warnings.warn(
        f"a shared secret has under {MIN_SECRET_BYTES} bytes: original SLIM libraries refuse it, and it can "
        "be guessed (make one with: openssl rand -base64 32)",
        stacklevel=1,
    )


@cache
def _warn_replay_cache() -> None:
    """Once per process, as above."""
    warnings.warn(
        "replay_cache: sessions show a token more than once, so messages of their peers would be refused; "
        "use it where each token is seen once",
        stacklevel=1,
    )


def _suffix(random: RandomBytes) -> str:
    """Eight characters, each of the 62 equally likely: bytes past the largest multiple of 62 are dropped."""
    usable = 256 - 256 % len(_SUFFIX_ALPHABET)
    chosen = ""
    while len(chosen) < SUFFIX_CHARACTERS:
        chosen += "".join(_SUFFIX_ALPHABET[b % 62] for b in random(SUFFIX_CHARACTERS) if b < usable)
    return chosen[:SUFFIX_CHARACTERS]


def _decode_claims(claims: str) -> dict[str, Any]:
    if not claims:
        return {}
    try:
        return parse_object(b64url_decode(claims))
    except Malformed as error:
        raise InvalidToken(f"the claims are unusable: {error}", rule="claims") from None
