"""When certificates end."""

from __future__ import annotations

import pytest

from gateway.security.expiry import CertificateEnd, end_of, problems
from tests.gateway.authority import HostAuthority

DAY = 86_400.0
ONE = CertificateEnd("servers[0].tls", "node", 100 * DAY)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (85.9, ""), (86.5, "expires in 13 days"), (98.5, "expires in 1 day"), (99.5, "expires within a day"),
        (100.0, "has expired"), (200.0, "has expired"),
    ],
)  # fmt: skip
def test_what_is_said(now: float, said: str) -> None:
    text = ONE.problem(now * DAY)
    assert text == (f"the certificate of node (servers[0].tls) {said}" if said else "")
    assert problems([ONE], now * DAY) == ([text] if text else [])


def test_of_a_chain() -> None:
    end = end_of("here", HostAuthority().issue(ttl=50.0).cert.encode())
    assert end.name == "one of many"
    assert end.problem(end.ends - 1.0)
