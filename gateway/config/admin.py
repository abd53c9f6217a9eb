"""The admin port: where figures and health are served, and to whom."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from gateway.config.address import no_credentials, split, unix_path
from gateway.config.keys import Key, Kind, Table
from gateway.config.section import Section
from gateway.config.tls import TLS, TlsConfig
from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.files import read_file

ADMIN = Table(
    "admin",
    Key("endpoint", "HOST:PORT or unix:///PATH", required=True, example="127.0.0.1:46380"),
    Key("token", "who shows it may read and order; itself, or sha256:HEX of it", Kind.SECRET),
    Key("reader_token", "who shows it may read; itself, or sha256:HEX of it", Kind.SECRET),
    Key("token_file", "a file with lines `operator: TOKEN` and `reader: TOKEN`, in place of these two"),
    Key("hosts", "names by which browsers call the port, beside its address", Kind.TEXTS, shown="none"),
    Key("tls", "encryption, as of a listener; with client_ca, certificates are another way in", Kind.SECTION,
        inner=TLS, reader=TlsConfig.read),
    Key("operators", "names in client certificates (SPIFFE IDs, DNS names) that may order; others read",
        Kind.TEXTS, shown="none"),
)  # fmt: skip
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SHORTEST = 16
"""Characters of a token: what is shorter can be guessed."""
_FILE_BOUND = 4096


@dataclass(frozen=True, slots=True)
class AdminConfig:
    """Where figures and health are served, and who may see and order what."""

    endpoint: str
    token: str | None = field(default=None, repr=False)
    reader_token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    tls: TlsConfig = field(default_factory=TlsConfig)
    operators: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Of a unix socket; empty for a TCP address."""
        return unix_path(split(self.endpoint)[0])

    def target(self) -> tuple[str, int]:
        """Host and port."""
        parts, port = split(self.endpoint)
        return parts.hostname or "", port or 0

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return bool(self.path) or self.target()[0] in _LOOPBACK

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return not self.tls.insecure and bool(self.tls.certificate or self.tls.spire)

    @property
    def wants_certificate(self) -> bool:
        """Whether who calls shows a certificate."""
        return self.encrypted and bool(self.tls.client_ca or self.tls.ca_spire)

    @classmethod
    def read(cls, section: Section | None) -> AdminConfig | None:
        """Check the dict. Raises ConfigError naming the key at fault."""
        if section is None:
            return None
        where, values = section.at("endpoint"), ADMIN.read(section)
        if not values["endpoint"]:
            raise ConfigError(f"{where}: required, such as 127.0.0.1:46380", field=where)
        parts, port = split(values["endpoint"], where)
        no_credentials(parts, where)
        if parts.scheme not in ("", "unix"):
            raise ConfigError(f"{where}: expected HOST:PORT or unix:///PATH; tls says whether", field=where)
        if parts.scheme != "unix" and (not parts.hostname or port is None):
            raise ConfigError(f"{where}: expected HOST:PORT or unix:///PATH", field=where)
        file = values.pop("token_file")
        if file is not None:
            place = section.at("token_file")
            if values["token"] or values["reader_token"]:
                raise ConfigError(f"{place}: tokens stand in a file or here, not both", field=place)
            values |= tokens_in(file, place)
        for key in ("token", "reader_token"):
            _check(values[key], section.at(key))
        made = cls(**values)
        if not made.loopback and not made.token and not made.reader_token and not made.wants_certificate:
            raise ConfigError(
                f"{where}: an address that others reach needs a token, or tls with client_ca", field=where
            )
        return made


def tokens_in(path: str, where: str) -> dict[str, str]:
    """What a file of tokens says. Nothing of it is quoted. Raises ConfigError."""
    try:
        text = read_file(path, max_bytes=_FILE_BOUND).data.decode()
    except (Malformed, UnicodeDecodeError):
        raise ConfigError(f"{where}: {path} cannot be read as a file of tokens", field=where) from None
    keys, found = {"operator": "token", "reader": "reader_token"}, {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        role, colon, token = line.partition(":")
        key = keys.get(role.strip())
        if not colon or key is None or not token.strip() or key in found:
            raise ConfigError(
                f"{where}: {path}, line {number}: expected `operator: TOKEN` or `reader: TOKEN`, each once",
                field=where,
            )
        found[key] = token.strip()
    if not found:
        raise ConfigError(f"{where}: {path} holds no token", field=where)
    return found


def _check(token: str | None, where: str) -> None:
    """Whether a token can be one. Raises ConfigError."""
    if token is None:
        return
    if token.startswith("sha256:"):
        digits = token.removeprefix("sha256:")
        size = 2 * hashlib.sha256().digest_size
        if len(digits) != size or not all(one in "0123456789abcdefABCDEF" for one in digits):
            raise ConfigError(f"{where}: sha256: is followed by {size} hex digits", field=where)
    elif len(token) < _SHORTEST:
        raise ConfigError(f"{where}: a token has at least {_SHORTEST} characters", field=where)
