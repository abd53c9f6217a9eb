"""Tokens in files that somebody else writes and renews: spiffe-helper, a Kubernetes service account.

    python examples/identity/static_jwt.py
    python examples/identity/static_jwt.py --jwt /svids/jwt_svid.token --keys /svids/key.jwt

Without flags the program writes the files itself. The files are followed: a renewed token serves the next
message. Such a token cannot carry an MLS key, so end-to-end encryption needs another pair.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from conversation import converse, run
from stand_ins import SigningKey

from gateway import Algorithm, IdentityProvider, IdentityVerifier, Key, KeyData, KeyFormat


async def main() -> None:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    made.add_argument("--jwt", metavar="FILE", help="our token")
    made.add_argument("--keys", metavar="FILE", help="keys to verify by: spiffe-helper's bundle, or a JWKS")
    made.add_argument("--audience", default="slim-demo")
    arguments = made.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        token, keys = arguments.jwt, arguments.keys
        if not (token and keys):
            token, keys = write_files(Path(directory), arguments.audience)
        pair = (
            IdentityProvider.StaticJwt(token),
            IdentityVerifier.Jwt(
                # The keys of a set say themselves which algorithm they are for.
                Key(Algorithm.RS256, KeyFormat.Jwks, KeyData.File(keys)),
                audience=[arguments.audience],
                require_aud=True,
            ),
        )
        await converse(pair, pair)


def write_files(directory: Path, audience: str) -> tuple[str, str]:
    """What spiffe-helper would leave in a directory: a token, and the keys of the trust domain."""
    key = SigningKey()
    token, keys = directory / "jwt_svid.token", directory / "key.jwt"
    token.write_text(key.token(sub="spiffe://example.org/demo", aud=[audience]))
    keys.write_text(key.jwks())
    return str(token), str(keys)


if __name__ == "__main__":
    run(main)
