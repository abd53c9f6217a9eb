from __future__ import annotations

import os
import textwrap

import pytest

import identity.mls as mls
from identity.errors import CryptoError
from tests.identity.mls.members import NOW, package

NAMES = """
    AuthenticationService BasicIdentity CipherSuite CommitApplied Credential DecodeError Decrypted Event
    ExternalSender Group KeyPackageBundle KeyUnavailable LeftOut MlsError Occasion PendingCommit
    ProposalReceived Removed SUITES Secret SignatureKey SlimIdentity StateError ValidationError
    VerificationError make_key_package public_key_claim suite token_credential
"""


def test_public_names_are_these() -> None:
    assert sorted(mls.__all__) == sorted(NAMES.split())
    assert all(hasattr(mls, name) for name in mls.__all__)


def test_example_of_the_package_runs() -> None:
    assert mls.__doc__ is not None
    example = "\n".join(line for line in mls.__doc__.splitlines() if line.startswith("    "))

    class Clock:
        @staticmethod
        def time() -> float:
            return NOW

    scope = {
        "os": os,
        "time": Clock,
        "suite": mls.suite,
        "Group": mls.Group,
        "credential": mls.Credential.basic(b"alice"),
        "policy": mls.BasicIdentity(),
        "bob_bundle": package("bob"),
    }
    exec(textwrap.dedent(example), scope)
    assert scope["bob"].epoch == scope["alice"].epoch == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name", ["DecodeError", "KeyUnavailable", "StateError", "ValidationError", "VerificationError"]
)
def test_errors_are_of_one_family(name: str) -> None:
    error = getattr(mls, name)
    assert issubclass(error, mls.MlsError)
    assert issubclass(error, CryptoError)


def test_errors_say_what_and_where() -> None:
    assert str(mls.DecodeError("too short", offset=7)) == "too short at byte 7"
    assert str(mls.VerificationError("membership tag")) == "the membership tag does not verify"
    assert str(mls.ValidationError("lifetime", "it is over")) == "it is over (rule lifetime)"
    assert str(mls.KeyUnavailable("epoch", "too old")) == "no epoch: too old"
    assert mls.KeyUnavailable("epoch", "too old").what == "epoch"
