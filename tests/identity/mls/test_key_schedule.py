from __future__ import annotations

import pytest

from identity.mls.cipher_suite import suite
from identity.mls.key_schedule import (
    EpochSecrets,
    JoinerSecrets,
    encryption_secret,
    joiner_secret,
    psk_secret,
    welcome_secret,
)
from identity.mls.messages import GroupContext
from identity.mls.proposal import PreSharedKeyId, PskType
from identity.mls.secret import Secret
from tests.identity.mls.support import cases, unhex


@pytest.mark.vectors
def test_key_schedule_vectors() -> None:
    found = cases("key-schedule")
    epochs = 0
    for case in found:
        use = suite(case["cipher_suite"])
        init = Secret(unhex(case["initial_init_secret"]))
        for number, epoch in enumerate(case["epochs"]):
            context = GroupContext(
                use.id,
                unhex(case["group_id"]),
                number,
                unhex(epoch["tree_hash"]),
                unhex(epoch["confirmed_transcript_hash"]),
            ).encoded
            assert context == unhex(epoch["group_context"])
            joiner = joiner_secret(use, init, unhex(epoch["commit_secret"]), context)
            assert joiner == unhex(epoch["joiner_secret"])
            psk = unhex(epoch["psk_secret"])
            steps = JoinerSecrets.derive(use, joiner, psk, context)
            assert steps.welcome == unhex(epoch["welcome_secret"]) == welcome_secret(use, joiner, psk)
            secrets = EpochSecrets.derive(use, steps.epoch)
            assert secrets.init == unhex(epoch["init_secret"])
            assert secrets.sender_data == unhex(epoch["sender_data_secret"])
            assert encryption_secret(use, steps.epoch) == unhex(epoch["encryption_secret"])
            assert secrets.exporter == unhex(epoch["exporter_secret"])
            assert secrets.epoch_authenticator == unhex(epoch["epoch_authenticator"])
            assert secrets.external == unhex(epoch["external_secret"])
            assert secrets.confirmation == unhex(epoch["confirmation_key"])
            assert secrets.membership == unhex(epoch["membership_key"])
            assert secrets.resumption_psk == unhex(epoch["resumption_psk"])
            assert secrets.external_key_pair(use).public == unhex(epoch["external_pub"])
            exporter = epoch["exporter"]
            exported = secrets.export(
                use, exporter["label"].encode(), unhex(exporter["context"]), exporter["length"]
            )
            assert exported == unhex(exporter["secret"])
            init = secrets.init
            epochs += 1
    print(f"key-schedule: {len(found)} cases, {epochs} epochs passed")


@pytest.mark.vectors
def test_psk_secret_vectors() -> None:
    found = cases("psk_secret")
    for case in found:
        psks = []
        for psk in case["psks"]:
            name = PreSharedKeyId(PskType.EXTERNAL, unhex(psk["psk_nonce"]), unhex(psk["psk_id"]))
            psks.append((name.encode(), unhex(psk["psk"])))
        assert psk_secret(suite(case["cipher_suite"]), psks) == unhex(case["psk_secret"])
    print(f"psk_secret: {len(found)} passed")


def test_epoch_secrets_show_nothing() -> None:
    secrets = EpochSecrets.derive(suite(1), bytes(32))
    assert secrets.init.hex() not in repr(secrets)
    assert "Secret(32 bytes)" in repr(secrets)
