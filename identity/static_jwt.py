"""A token that somebody else writes into a file: spiffe-helper, Kubernetes (`identity.md` 3.4, 3.6)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from identity.claims import kind_of
from identity.encoding import Malformed
from identity.errors import AuthError, ConfigError, InvalidToken
from identity.jose import jws
from identity.log import logger
from identity.mls_key import BOUND, is_unbound, warn_of_unbound
from identity.options import text
from identity.record import record
from identity.variant import Variant
from identity.vouched_token import CERTIFICATES, PRIVATE_KEY
from identity.watch import WatchedFile

if TYPE_CHECKING:
    from identity.spiffe.vouching import Voucher


@record
class _FileToken(NamedTuple):
    text: str
    subject: str | None
    expires: float | None
    """Unix seconds; None when the token does not say."""
    lacking: str = ""
    """What stands in the place of a subject, to end a sentence."""

    def __repr__(self) -> str:
        return f"_FileToken(subject={self.subject!r}, expires={self.expires})"


class StaticJwtProvider(Variant):
    """The token in a file that somebody else keeps fresh (`identity.md` 3.4).

    Hands out the token in the file, as new as the file's last good content.

    Makes no signature and cannot add claims. Encrypted sessions take it where the X.509-SVID of the same
    SPIFFE ID lies beside it (`tls.crt`, `tls.key`), which then vouches for the key
    (`identity.spiffe.vouching`), or with `mls_key="unbound"`, where the other side's verifier does too
    (`identity.mls_key`). Raises ConfigError when the file holds no token with a subject at construction.
    """

    path: str
    mls_key: str

    def __init__(self, path: str, *, mls_key: str = BOUND) -> None:
        self._unbound = is_unbound(mls_key)
        self._file = WatchedFile(
            text(path, "path"), _read_token, max_bytes=jws.MAX_TOKEN_CHARACTERS, field="path"
        )
        subject = self._file.last.subject
        if subject is None:
            raise ConfigError(
                f"{path}: missing subject claim in the token{self._file.last.lacking}", field="path"
            )
        self._id = subject
        self._folder = Path(path).parent
        self._voucher: Voucher | None = None
        self._warned_of = -1
        """The generation of the file's content that a warning was written for."""

    async def initialize(self) -> None:
        """Nothing to open: the file was read at construction and is looked at when a token is wanted."""

    async def close(self) -> None:
        """Nothing to release."""

    def get_id(self) -> str:
        """The subject of the token that was in the file at construction, unverified."""
        return self._id

    @property
    def generation(self) -> int:
        """Grows with each token that replaced another in the file."""
        return self._file.generation

    def get_token(self, now: float) -> str:
        """The token in the file. Raises AuthError when it has expired at `now`."""
        token = self._file.get(now)
        if token.expires is not None and now >= token.expires:
            self._warn("the token has expired, and messages cannot be sent until the file is renewed")
            raise AuthError(f"the token in {self._file.path} has expired; renew it")
        if token.subject != self._id:
            self._warn("the new token is of another subject; the application's id stays that of the first")
        return token.text

    @property
    def carries_claims(self) -> bool:
        """Whether its tokens serve encrypted sessions: with an SVID beside, or where that was asked for."""
        return self._unbound or self._svid_is_there()

    async def get_token_with_claims(self, claims: Mapping[str, Any], now: float) -> str:
        """The token in the file, with an SVID's word on `claims`, or without where that was asked for.

        Raises ConfigError when neither can be, and AuthError when something has expired.
        """
        if self._svid_is_there():
            from identity.spiffe.vouching import Voucher  # on use: it brings X.509

            self._voucher = self._voucher or Voucher(self._folder)
            return self._voucher.vouch(self.get_token(now), self._id, claims, now)
        if self._unbound:
            warn_of_unbound()
            return self.get_token(now)
        raise ConfigError(
            "a static JWT cannot carry the MLS key: use SharedSecret, Jwt or Spire for encrypted sessions, "
            "lay the X.509-SVID of the same SPIFFE ID beside it (tls.crt, tls.key), "
            'or say mls_key="unbound" on both sides, which protects less',
            field="path",
        )

    def _svid_is_there(self) -> bool:
        return all((self._folder / name).exists() for name in (CERTIFICATES, PRIVATE_KEY))

    def _warn(self, what: str) -> None:
        """Once for each content of the file."""
        if self._warned_of != self._file.generation:
            self._warned_of = self._file.generation
            logger.warning("a token file is not as it should be", path=str(self._file.path), cause=what)


def _read_token(content: bytes) -> _FileToken:
    """The token in a file's content, white space around it dropped. Raises Malformed."""
    try:
        token = content.decode("ascii").strip()
        claims = jws.payload_of(token)
    except UnicodeDecodeError:
        raise Malformed("not a token") from None
    except InvalidToken as error:
        raise Malformed(str(error)) from None
    if not all(token.split(".")):
        raise Malformed("not a signed token: a part is empty")
    subject, expires = claims.get("sub"), claims.get("exp")
    return _FileToken(
        token,
        subject if isinstance(subject, str) and subject else None,
        float(expires) if isinstance(expires, (int, float)) and abs(expires) < 1 << 63 else None,
        _lacking(claims),
    )


def _lacking(claims: Mapping[str, Any]) -> str:
    if "sub" not in claims or isinstance(claims["sub"], str):
        return ""
    return f" (its sub is a {kind_of(claims['sub'])}, and a subject is a text)"
