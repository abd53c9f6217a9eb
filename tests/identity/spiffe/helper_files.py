"""A workload's folder as spiffe-helper leaves it: token, certificates, key, and both kinds of bundle."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier
from tests.identity.spiffe.trust import Authority


class HelperFolder:
    """The files of one workload of a trust domain."""

    def __init__(self, folder: Path, authority: Authority, path: str) -> None:
        folder.mkdir()
        self.folder, self.authority, self.path = folder, authority, path
        self.token = folder / "jwt_svid.token"
        self.keys = folder / "key.jwt"
        self.renew()
        self.keys.write_text(json.dumps({authority.name: base64.b64encode(authority.jwks()).decode()}))
        (folder / "svid_bundle.pem").write_bytes(authority.root.public_bytes(Encoding.PEM))

    def renew(self, **claims: Any) -> None:
        """A new token and a new X.509-SVID."""
        self.token.write_text(self.authority.token(path=self.path, **claims))
        self.write_svid(self.path)

    def write_svid(self, path: str, authority: Authority | None = None, **options: Any) -> None:
        """The X.509-SVID alone, of another workload or authority where wanted."""
        leaf, key = (authority or self.authority).svid(path, **options)
        (self.folder / "tls.crt").write_bytes(leaf.public_bytes(Encoding.PEM))
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / "tls.key").write_bytes(text)

    def provider(self, **options: Any) -> Any:
        return IdentityProvider.StaticJwt(str(self.token), **options)

    def verifier(self, **options: Any) -> Any:
        keys = Key(Algorithm.ES256, KeyFormat.Jwks, KeyData.File(str(self.keys)))
        return IdentityVerifier.Jwt(keys, audience=["slim"], **options)
