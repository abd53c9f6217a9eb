"""The MLS key of a static token, bound by the X.509-SVID that lies beside it (`identity.md` 3.4).

A JWT-SVID that spiffe-helper writes carries no key of ours. The X.509-SVID of the same SPIFFE ID, which it
writes into `tls.crt` and `tls.key`, has a key, and that signs a token around the other one (RFC 7515, 4.1.6):

    header   typ "vouched+jwt"; alg; x5c, the chain of the SVID, leaf first
    claims   token, the static one, whole; sub, iat, exp; pubkey, the key that is vouched for

Who judges it takes the inner token as any other, the chain by the X.509 bundle of its trust domain, and
demands that both are of one SPIFFE ID: the issuer's word on who it is, and the word of that one on its key.

Originals take no static token in encrypted sessions, and so none of these: this is between ours.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from identity.encoding import Malformed
from identity.errors import AuthError, ConfigError, InvalidToken
from identity.jose import jws
from identity.jose.key_material import SigningKey, VerificationKey, algorithms_for
from identity.jose.keys import Algorithm
from identity.message_key import PUBKEY_CLAIM
from identity.protocols import Claims
from identity.record import record
from identity.spiffe.certificates import MAX_CHAIN, MAX_FILE_BYTES
from identity.spiffe.errors import PySpiffeError
from identity.spiffe.spiffe_id import SpiffeId
from identity.spiffe.x509_bundle import bundles_of_pem
from identity.spiffe.x509_svid import X509Svid, verify_x509_svid
from identity.vouched_token import CERTIFICATES, PRIVATE_KEY, TYPE, is_vouched
from identity.watch import WatchedFile

LEEWAY = 60.0
"""Seconds by which two clocks may differ."""


class Voucher:
    """The X.509-SVID in a folder, read anew whenever it is wanted: it is replaced every half hour or so."""

    def __init__(self, folder: Path) -> None:
        self._files = folder / CERTIFICATES, folder / PRIVATE_KEY
        self._last: X509Svid | None = None

    def vouch(self, token: str, subject: str, claims: Mapping[str, Any], now: float) -> str:
        """A token around `token`, which is of `subject`, with `claims`. Raises ConfigError and AuthError."""
        svid = self._svid(subject)
        if now >= svid.expiry:
            raise AuthError(f"the X.509-SVID in {self._files[0]} has expired; renew it")
        key = svid.private_key
        algorithm = min(algorithms_for(key.public_key()), key=lambda one: one.value)
        assert isinstance(algorithm, Algorithm)
        ends = min(svid.expiry, jws.payload_of(token).get("exp", svid.expiry))
        chain = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in svid.cert_chain]
        header = {"typ": TYPE, "alg": algorithm.value, "x5c": chain}
        said = {**claims, "token": token, "sub": subject, "iat": int(now), "exp": int(ends)}
        return jws.sign(SigningKey(key, algorithm), header, said)

    def _svid(self, subject: str) -> X509Svid:
        """The newest that can be read: between the two files being written, that is the one before."""
        try:
            svid = X509Svid.load(*self._files)
        except PySpiffeError as error:
            if self._last is None:
                raise ConfigError(f"{self._files[0]}: {error}", field="path") from error
            svid = self._last
        if str(svid.spiffe_id) != subject:
            raise ConfigError(
                f"the X.509-SVID in {self._files[0]} is of {svid.spiffe_id}, and the token of {subject}",
                field="path",
            )
        self._last = svid
        return svid


@record
class Vouched(NamedTuple):
    """A vouched token, opened; nothing of it is proved."""

    outer: jws.Jws
    claims: Claims
    token: str
    """The one inside."""


def opened(token: str) -> Vouched:
    """The parts of a vouched token. Raises InvalidToken."""
    outer = jws.parse(token)
    claims = jws.claims_of(outer.payload)
    inner = claims.get("token")
    if outer.header.get("typ") != TYPE or not isinstance(inner, str) or is_vouched(inner):
        raise InvalidToken("not a token that an X.509-SVID vouches for", rule="format")
    return Vouched(outer, claims, inner)


class Authorities:
    """The X.509 authorities in a file, followed while it changes. Raises ConfigError."""

    def __init__(self, path: str) -> None:
        self._file = WatchedFile(path, _any_pem, max_bytes=MAX_FILE_BYTES, field="x509_bundle")

    def check(self, said: Vouched, inner: Claims, now: float) -> Claims:
        """What the inner token claims, `inner`, which was verified, and the key that is vouched for.

        Raises InvalidToken with rule "vouched".
        """
        try:
            subject = SpiffeId(str(inner.get("sub")))
            bundles = bundles_of_pem(self._file.get(now), [subject.trust_domain])
            chain = _chain(said.outer.header.get("x5c"))
            verify_x509_svid(chain, bundles, now, expected=[subject])
            public = chain[0].public_key()
            jws.check_signature(said.outer, [VerificationKey(public, algorithms_for(public))])  # type: ignore[arg-type]
        except (PySpiffeError, Malformed) as error:
            raise InvalidToken(
                f"the X.509-SVID that vouches for the key is refused: {error}", rule="vouched"
            ) from error
        key, first, last = (said.claims.get(name) for name in (PUBKEY_CLAIM, "iat", "exp"))
        if said.claims.get("sub") != str(subject) or not isinstance(key, str):
            raise InvalidToken("an X.509-SVID vouches for another subject, or for no key", rule="vouched")
        if not isinstance(first, int) or not isinstance(last, int):
            raise InvalidToken("an X.509-SVID vouches for a key without saying when", rule="vouched")
        if not first - LEEWAY <= now <= last + LEEWAY:
            raise InvalidToken("an X.509-SVID vouched for the key at another time", rule="expired")
        return {**inner, PUBKEY_CLAIM: key}


def _any_pem(content: bytes) -> bytes:
    """The file as it is: of which trust domain authorities are wanted, a token says."""
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise Malformed("no PEM certificate in it")
    return content


def _chain(entries: object) -> Sequence[x509.Certificate]:
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_CHAIN:
        raise Malformed(f"a header without x5c, or with more than {MAX_CHAIN} certificates")
    try:
        return [x509.load_der_x509_certificate(base64.b64decode(one, validate=True)) for one in entries]
    except (TypeError, ValueError, binascii.Error):
        raise Malformed("an entry of x5c that is no certificate") from None
