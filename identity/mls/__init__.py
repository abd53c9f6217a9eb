"""Messaging Layer Security (RFC 9420): groups with end-to-end encryption.

    signer = suite(1).generate_signature_key(os.urandom)
    alice = Group.create(suite(1), signer, credential, identity=policy, now=time.time())
    pending = alice.commit(add=[bob_bundle.message], now=time.time())
    alice.apply_pending()
    bob = Group.join(pending.welcome, bob_bundle, identity=policy, now=time.time())
    bob.decrypt(alice.encrypt(b"hello")).plaintext

Pure: no I/O and no clock; randomness and time are arguments. Modules are named as the RFC names its parts.
"""

from __future__ import annotations

from identity.mls.authentication_service import AuthenticationService, BasicIdentity, Occasion
from identity.mls.cipher_suite import SUITES, CipherSuite, suite
from identity.mls.commit import CommitApplied, PendingCommit, Removed
from identity.mls.credential import Credential
from identity.mls.errors import (
    DecodeError,
    KeyUnavailable,
    MlsError,
    StateError,
    ValidationError,
    VerificationError,
)
from identity.mls.external_senders import ExternalSender
from identity.mls.group import Event, Group, ProposalReceived
from identity.mls.private_message import Decrypted
from identity.mls.secret import Secret
from identity.mls.selection import LeftOut
from identity.mls.signatures import SignatureKey
from identity.mls.slim_identity import SlimIdentity, public_key_claim, token_credential
from identity.mls.welcome import KeyPackageBundle, make_key_package

__all__ = [
    "SUITES",
    "BasicIdentity",
    "CipherSuite",
    "CommitApplied",
    "Credential",
    "DecodeError",
    "Decrypted",
    "Event",
    "ExternalSender",
    "Group",
    "AuthenticationService",
    "KeyPackageBundle",
    "KeyUnavailable",
    "LeftOut",
    "MlsError",
    "Occasion",
    "PendingCommit",
    "ProposalReceived",
    "Removed",
    "Secret",
    "SignatureKey",
    "SlimIdentity",
    "StateError",
    "ValidationError",
    "VerificationError",
    "make_key_package",
    "public_key_claim",
    "suite",
    "token_credential",
]
