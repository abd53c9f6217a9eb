"""From one epoch to the next: the key schedule, PSKs and exported secrets (RFC 9420, section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from identity.mls.cipher_suite import CipherSuite
from identity.mls.codec import u16
from identity.mls.hpke import HpkeKeyPair
from identity.mls.secret import Secret

EXTERNAL_INIT_LABEL = b"MLS 1.0 external init secret"


@dataclass(frozen=True, slots=True)
class EpochSecrets:
    """The secrets of one epoch, named as in section 8, table 4.

    The encryption secret is missing: it becomes the root of the secret tree and must not outlive that.
    """

    sender_data: Secret
    exporter: Secret
    external: Secret
    confirmation: Secret
    membership: Secret
    resumption_psk: Secret
    epoch_authenticator: Secret
    init: Secret

    @classmethod
    def derive(cls, suite: CipherSuite, epoch_secret: bytes) -> EpochSecrets:
        """The lower half of the diagram in section 8."""
        return cls(
            sender_data=suite.derive_secret(epoch_secret, b"sender data"),
            exporter=suite.derive_secret(epoch_secret, b"exporter"),
            external=suite.derive_secret(epoch_secret, b"external"),
            confirmation=suite.derive_secret(epoch_secret, b"confirm"),
            membership=suite.derive_secret(epoch_secret, b"membership"),
            resumption_psk=suite.derive_secret(epoch_secret, b"resumption"),
            epoch_authenticator=suite.derive_secret(epoch_secret, b"authentication"),
            init=suite.derive_secret(epoch_secret, b"init"),
        )

    def values(self) -> list[Secret]:
        """All secrets in the order of the fields."""
        return [getattr(self, field.name) for field in fields(self)]

    def export(self, suite: CipherSuite, label: bytes, context: bytes, length: int) -> Secret:
        """MLS-Exporter (section 8.5); the context is hashed."""
        secret = suite.derive_secret(self.exporter, label)
        return suite.expand_with_label(secret, b"exported", suite.hash(context), length)

    def external_key_pair(self, suite: CipherSuite) -> HpkeKeyPair:
        """The key pair that external commits are sealed to (section 8.3)."""
        return suite.hpke.derive_key_pair(self.external)


def encryption_secret(suite: CipherSuite, epoch_secret: bytes) -> Secret:
    """The root of the epoch's secret tree."""
    return suite.derive_secret(epoch_secret, b"encryption")


@dataclass(frozen=True, slots=True)
class JoinerSecrets:
    """What leads from the joiner secret to an epoch: all that a Welcome hands over."""

    joiner: Secret
    welcome: Secret
    epoch: Secret

    @classmethod
    def derive(cls, suite: CipherSuite, joiner: Secret, psk_secret: bytes, context: bytes) -> JoinerSecrets:
        """The middle of the diagram in section 8; `context` is the encoded GroupContext of the new epoch."""
        member = suite.extract(joiner, psk_secret)
        return cls(
            joiner=joiner,
            welcome=suite.derive_secret(member, b"welcome"),
            epoch=suite.expand_with_label(member, b"epoch", context, suite.hash_length),
        )


def joiner_secret(suite: CipherSuite, init_secret: bytes, commit_secret: bytes, context: bytes) -> Secret:
    """The upper part of the diagram in section 8; `context` is the encoded GroupContext of the new epoch."""
    extracted = suite.extract(init_secret, commit_secret)
    return suite.expand_with_label(extracted, b"joiner", context, suite.hash_length)


def welcome_secret(suite: CipherSuite, joiner: bytes, psk_secret: bytes) -> Secret:
    """The welcome secret for one who does not know the GroupContext yet."""
    return suite.derive_secret(suite.extract(joiner, psk_secret), b"welcome")


def welcome_key_and_nonce(suite: CipherSuite, welcome: bytes) -> tuple[bytes, bytes]:
    """Key and nonce that open the GroupInfo of a Welcome (section 12.4.3.1)."""
    return suite.expand_key_and_nonce(welcome, b"")


def zero_secret(suite: CipherSuite) -> Secret:
    """The all-zero value that stands for "no commit secret" and "no PSK"."""
    return Secret(suite.hash_length)


def psk_secret(suite: CipherSuite, psks: Sequence[tuple[bytes, bytes]]) -> Secret:
    """Combine PSKs, given as (encoded PreSharedKeyID, secret), in their order (section 8.4)."""
    zero = zero_secret(suite)
    secret = zero
    for index, (psk_id, psk) in enumerate(psks):
        extracted = suite.extract(zero, psk)
        label = psk_id + u16(index) + u16(len(psks))
        secret = suite.extract(
            suite.expand_with_label(extracted, b"derived psk", label, suite.hash_length), secret
        )
    return secret
