"""How a token is known that an X.509-SVID vouches for (`identity.spiffe.vouching`), before it is opened."""

from __future__ import annotations

from identity.encoding import b64url_encode

TYPE = "vouched+jwt"
"""The header's `typ`, which stands first in it: nothing else that the key of an SVID signs says this."""

CERTIFICATES, PRIVATE_KEY, AUTHORITIES = "tls.crt", "tls.key", "svid_bundle.pem"
"""As spiffe-helper calls the files of an X.509-SVID."""

_BEGINNING = b64url_encode(f'{{"typ":"{TYPE}",'.encode())


def is_vouched(token: str) -> bool:
    """Whether a token says that it is one."""
    return token.startswith(_BEGINNING)
