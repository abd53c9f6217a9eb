"""When the certificates of a node end: said at the start, and in health."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509

SOON = 14 * 86_400.0
"""Seconds before its end from which on a certificate is spoken about."""
DAY = 86_400.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class CertificateEnd:
    """One certificate that a node shows. `ends` in Unix seconds."""

    where: str
    """The key of the configuration that names it."""
    name: str
    """Its common name, or the first of its alternative names."""
    ends: float

    def problem(self, now: float) -> str:
        """What is to be said at `now` (Unix seconds); nothing when all is well."""
        left = self.ends - now
        if left <= 0:
            return f"the certificate of {self.name} ({self.where}) has expired"
        if left <= SOON:
            days = int(left / DAY)
            when = f"in {days} day{'' if days == 1 else 's'}" if days else "within a day"
            return f"the certificate of {self.name} ({self.where}) expires {when}"
        return ""


def end_of(where: str, chain: bytes) -> CertificateEnd:
    """Of the first certificate of a chain, PEM. Raises ValueError."""
    leaf = x509.load_pem_x509_certificate(chain)
    names = [str(one.value) for one in leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    if not names:
        try:
            others = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = [str(one.value) for one in others]
        except x509.ExtensionNotFound:
            names = ["nobody"]
    return CertificateEnd(where, names[0], leaf.not_valid_after_utc.timestamp())


def problems(ends: Iterable[CertificateEnd], now: float) -> list[str]:
    """All that is to be said."""
    return [said for one in ends if (said := one.problem(now))]
