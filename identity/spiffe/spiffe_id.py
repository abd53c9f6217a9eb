"""SPIFFE IDs and trust domains (`identity.md` 6.1).

    spiffe://example.org/ns/prod/sa/web
             └ trust domain └ path

Both are parsed strictly and compared exactly. Upper case in scheme or trust domain is refused rather than
folded: two texts for one identity would make every comparison downstream a question.
"""

from __future__ import annotations

import re

from identity.spiffe.errors import SpiffeIdError, TrustDomainError

SCHEME = "spiffe://"
MAX_ID_BYTES = 2048
MAX_TRUST_DOMAIN_BYTES = 255

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


class TrustDomain:
    """The name of a trust domain. Immutable, hashable, ordered by nothing."""

    __slots__ = ("_name",)

    def __init__(self, id_or_name: str) -> None:
        """Take a bare name, or the domain of a whole SPIFFE ID.

        Raises TrustDomainError.
        """
        if not isinstance(id_or_name, str) or not id_or_name:
            raise TrustDomainError("a trust domain must be a text that is not empty")
        if id_or_name.startswith(SCHEME):
            try:
                self._name = SpiffeId(id_or_name).trust_domain.name
            except SpiffeIdError as exc:
                raise TrustDomainError(str(exc)) from exc
            return
        _check_trust_domain(id_or_name)
        self._name = id_or_name

    @classmethod
    def named(cls, name: str) -> TrustDomain:
        """Take a bare name and no SPIFFE ID. Raises TrustDomainError.

        For maps and settings: an ID with a path would promise there to trust one workload, not all of them.
        """
        if isinstance(name, str) and "://" in name:
            raise TrustDomainError("a trust domain is given by its bare name, such as example.org")
        return cls(name)

    @property
    def name(self) -> str:
        """The bare name, such as `example.org`."""
        return self._name

    def as_spiffe_id(self) -> str:
        """The domain's own id, `spiffe://` and the name: the key of bundle maps in the Workload API."""
        return SCHEME + self._name

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"TrustDomain({self._name!r})"

    def __eq__(self, other: object) -> bool:
        return self._name == other._name if isinstance(other, TrustDomain) else NotImplemented

    def __hash__(self) -> int:
        return hash((TrustDomain, self._name))


class SpiffeId:
    """One SPIFFE ID. Immutable and hashable."""

    __slots__ = ("_path", "_text", "_trust_domain")

    def __init__(self, id: str) -> None:
        """Parse `id`. Raises SpiffeIdError, which names the broken rule."""
        if not isinstance(id, str) or not id:
            raise SpiffeIdError("a SPIFFE ID must be a text that is not empty")
        if len(id) > MAX_ID_BYTES:
            raise SpiffeIdError(f"a SPIFFE ID of {len(id)} bytes is longer than {MAX_ID_BYTES}")
        if not id.startswith(SCHEME):
            raise SpiffeIdError(f"a SPIFFE ID starts with {SCHEME!r} in lower case")
        name, slash, rest = id[len(SCHEME) :].partition("/")
        try:
            _check_trust_domain(name)
        except TrustDomainError as exc:
            raise SpiffeIdError(str(exc)) from exc
        for segment in rest.split("/") if slash else ():
            _check_segment(segment)
        self._trust_domain = TrustDomain(name)
        self._path = slash + rest
        self._text = id

    @property
    def trust_domain(self) -> TrustDomain:
        return self._trust_domain

    @property
    def path(self) -> str:
        """Everything after the trust domain: empty, or `/` and segments."""
        return self._path

    def is_member_of(self, trust_domain: TrustDomain) -> bool:
        """Whether this id belongs to `trust_domain`: equality, never a prefix."""
        return self._trust_domain == trust_domain

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"SpiffeId({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, SpiffeId) else NotImplemented

    def __hash__(self) -> int:
        return hash((SpiffeId, self._text))


def _check_trust_domain(name: str) -> None:
    if not name:
        raise TrustDomainError("the trust domain is empty")
    if len(name) > MAX_TRUST_DOMAIN_BYTES:
        raise TrustDomainError(f"a trust domain of {len(name)} bytes is longer than {MAX_TRUST_DOMAIN_BYTES}")
    # fullmatch: a pattern ended by `$` would let a trailing newline through.
    if not _TRUST_DOMAIN.fullmatch(name):
        raise TrustDomainError("a trust domain has only the characters a-z, 0-9, '.', '-' and '_'")


def _check_segment(segment: str) -> None:
    if not segment:
        raise SpiffeIdError("the path of a SPIFFE ID has an empty segment or ends with '/'")
    if segment in (".", ".."):
        raise SpiffeIdError("the path of a SPIFFE ID has a segment '.' or '..'")
    if not _SEGMENT.fullmatch(segment):
        raise SpiffeIdError(
            "a path segment of a SPIFFE ID has only the characters a-z, A-Z, 0-9, '.', '-' and '_'"
        )
