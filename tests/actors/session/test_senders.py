from __future__ import annotations

import pytest

from actors.session import senders
from actors.session.senders import Senders
from identity.shared_secret import SharedSecretProvider
from identity.token_claims import claims_of

SECRET = "a-secret-of-these-tests-with-32-bytes-or-more"


def test_the_claims_of_a_token_are_read_once_and_belong_to_who_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    token = SharedSecretProvider("bob", SECRET).get_token(1000.0)
    read: list[str] = []

    def counted(token: str) -> dict[str, object]:
        read.append(token)
        return claims_of(token)

    monkeypatch.setattr(senders, "claims_of", counted)
    known = Senders()
    first = known.claims(token)
    assert first == claims_of(token)
    assert first["sub"]
    first["sub"] = "carol"
    assert known.claims(token) == claims_of(token)
    assert read == [token]


def test_claims_that_hold_others_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "claims_of", lambda _: {"sub": "bob", "groups": ["a"]})
    known = Senders()
    known.claims("token")["groups"].append("admin")
    assert known.claims("token") == {"sub": "bob", "groups": ["a"]}
