"""An issuer of tokens on a host of a World: it signs them, and publishes the keys that they are checked with.

    provider of an application ── a token? ──► issuer    at two thirds of its life (`identity.renewal`)
    verifier of another        ── keys? ─────► issuer    in time, and for a token by a key that it lacks

Both dial it over lines of the World: who does not reach it has no new token, and no new keys. So all that may
happen to a host and its lines is what may happen to an issuer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actors.errors import CannotConnect
from gateway.config import ClientConfig, ServerConfig
from gateway.links.stream import Stream
from gateway.testing.host import SimHost
from identity.claims import ClaimRules
from identity.cloud.slim import CloudProvider
from identity.errors import AuthError
from identity.jose import jws
from identity.jose.key_material import SigningKey, VerificationKey
from identity.jose.key_set import KeySet
from identity.jose.keys import Algorithm
from identity.jwt import JwtVerifier
from identity.key_cache import RefreshPolicy
from identity.key_rounds import KeyRounds, RoundsSource
from identity.message_key import PUBKEY_CLAIM, new_pubkey
from identity.randomness import RandomBytes

PORT = 443
LIFETIME = 3600.0
FETCH_TIME = 10.0
"""Seconds that an issuer may take to show its keys."""


class Issuer:
    """`World.issuer` makes it. Whoever it gave an identity trusts all others to whom it gave one.

    Tokens are good for `lifetime` seconds by the clock of `host`; verifiers allow for `leeway` more.
    """

    def __init__(self, host: SimHost, random: RandomBytes, lifetime: float, leeway: float) -> None:
        self.host = host
        """Where it runs. It may be killed and restarted, frozen and cut off."""
        self.lifetime = lifetime
        self._leeway = leeway
        self._random = random
        self._refused: set[str] = set()
        self._keys: list[VerificationKey] = []
        """That are published, the oldest first."""
        self.rotate()
        host.run(self._serve)

    def __repr__(self) -> str:
        return f"<Issuer on {self.host!r}, {len(self._keys)} keys>"

    def identity(self, name: str, host: SimHost) -> tuple[Any, Any]:
        """Provider and verifier of the application `name` on `host`."""
        rules = ClaimRules(issuer=self.host.name, require_iss=True, leeway=self._leeway)
        return IssuedTokens(self, name, host), JwtVerifier(IssuedKeys(self, host), rules)

    # What may happen to it

    def refuse(self, name: str) -> None:
        """Give this application no token any more: those that it has run out."""
        self.host.note(f"refuses {name}")
        self._refused.add(name)

    def allow(self, name: str) -> None:
        """Undo `refuse`."""
        self.host.note(f"allows {name}")
        self._refused.discard(name)

    def rotate(self, *, keep: bool = True) -> None:
        """Sign with a new key from now on. Without `keep` the keys of before are published no more.

        Verifiers learn of that when they ask again: each `lifetime`, or each minute if that is longer.
        """
        self.host.note("signs with a new key")
        key = Ed25519PrivateKey.from_private_bytes(self._random(32))
        self._signs = SigningKey(key, Algorithm.EdDSA)
        self._kid = self._random(4).hex()
        public = VerificationKey(key.public_key(), frozenset({Algorithm.EdDSA}), self._kid)
        self._keys = [*self._keys, public] if keep else [public]

    # What it is asked

    async def token(self, name: str, claims: Mapping[str, Any], host: SimHost) -> str:
        """A token of the application `name`, with these claims too. Raises AuthError."""
        await self._reached(host)
        if name in self._refused:
            raise AuthError(f"{self.host.name} gives {name} no token")
        issued = int(self.host.wall())
        times = {"exp": issued + self.lifetime, "iat": issued, "nbf": issued}
        header = {"typ": "JWT", "alg": self._signs.algorithm.value, "kid": self._kid}
        return jws.sign(self._signs, header, {"iss": self.host.name, "sub": name, **times, **claims})

    async def keys(self, host: SimHost) -> KeySet:
        """Those that are published. Raises AuthError."""
        await self._reached(host)
        return KeySet(self._keys)

    async def _reached(self, host: SimHost) -> None:
        """One question and its answer have passed. Raises AuthError."""
        endpoint = f"sim://{self.host.name}:{PORT}"
        try:
            stream = await host.dialler(ClientConfig.read({"endpoint": endpoint}))()
        except CannotConnect as error:
            raise AuthError(str(error)) from None
        stream.abort("answered")

    async def _serve(self) -> None:
        def answer(stream: Stream) -> None:
            stream.abort("answered")

        config = ServerConfig.read({"endpoint": f"sim://{self.host.name}:{PORT}"})
        listener = self.host.listener(config, answer)
        await listener.start()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await listener.stop(0.0)


class IssuedTokens(CloudProvider):
    """Tokens of an Issuer, renewed as those of a cloud's auth server are. They may carry claims."""

    def __init__(self, issuer: Issuer, name: str, host: SimHost) -> None:
        self._issuer, self._name, self._host = issuer, name, host
        # The ambient chance is that of whoever makes it.
        self._pubkey = new_pubkey(host.random)
        super().__init__(fetch=self._asked, clock=host.wall)

    def __repr__(self) -> str:
        return f"<IssuedTokens of {self._name}>"

    async def initialize(self) -> None:
        # There, so that the renewal freezes and ends with the host.
        await self._host.call(super().initialize(), f"first token of {self._name}")

    def get_id(self) -> str:
        """The subject of its tokens."""
        return self._name

    @property
    def expires_at(self) -> float:
        """Unix seconds at which the token in hand ends. Raises AuthError before there is one."""
        return self._current().expires_at

    @property
    def carries_claims(self) -> bool:
        return True

    async def get_token_with_claims(self, claims: Mapping[str, Any], now: float) -> str:
        """A new token. Raises AuthError."""
        return await self._asked(claims)

    async def _asked(self, claims: Mapping[str, Any] | None = None) -> str:
        said = {PUBKEY_CLAIM: self._pubkey, **(claims or {})}
        return await self._issuer.token(self._name, said, self._host)


class IssuedKeys(RoundsSource):
    """The keys of an Issuer, as one verifier has them. A `identity.key_source.KeySource`."""

    def __init__(self, issuer: Issuer, host: SimHost) -> None:
        super().__init__(issuer.host.name)
        self._issuer, self._host = issuer, host

    async def initialize(self) -> None:
        """Start fetching; nobody waits for the first answer."""
        if self._rounds is None:
            self._rounds = await self._host.call(self._begun(), "keys")

    async def close(self) -> None:
        """End it."""
        rounds, self._rounds = self._rounds, None
        if rounds is not None:
            await rounds.stop()

    async def _begun(self) -> _Rounds:
        return _Rounds(self._issuer, self._host)


class _Rounds(KeyRounds):
    """Fetches over lines of a World."""

    def __init__(self, issuer: Issuer, host: SimHost) -> None:
        self._from, self._host = issuer, host
        super().__init__(issuer.host.name, RefreshPolicy(), FETCH_TIME, host.clock)

    async def fetch(self) -> tuple[KeySet, float | None]:
        # As an issuer says by Cache-Control: as long as it may take until a key is withdrawn everywhere.
        return await self._from.keys(self._host), self._from.lifetime
