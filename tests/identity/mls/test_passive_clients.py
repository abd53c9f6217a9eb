"""Groups that other implementations ran: join them, follow them, agree with them on every epoch."""

from __future__ import annotations

import time

import pytest

from identity.mls.cipher_suite import suite
from identity.mls.credential import BasicIdentity
from identity.mls.framing import KeyPackage, decode_message
from identity.mls.group import Group
from identity.mls.proposal import PreSharedKeyId, PskType
from identity.mls.welcome import KeyPackageBundle
from tests.identity.mls.support import Case, cases, unhex

FAMILIES = [
    "passive-client-welcome",
    "passive-client-handling-commit",
    "passive-client-random",
    "interop-passive-application",
    "interop-passive-branch",
    "interop-passive-commit",
    "interop-passive-external-join",
    "interop-passive-external-proposals",
    "interop-passive-reinit",
    "interop-passive-welcome-join",
]


def bundle(case: Case) -> KeyPackageBundle:
    use = suite(case["cipher_suite"])
    package = decode_message(unhex(case["key_package"]))
    assert isinstance(package, KeyPackage)
    return KeyPackageBundle(
        package,
        use.hpke.load_key_pair(unhex(case["init_priv"])),
        use.hpke.load_key_pair(unhex(case["encryption_priv"])),
        use.scheme.load_private(unhex(case["signature_priv"])),
    )


def join(case: Case) -> Group:
    external = {unhex(psk["psk_id"]): unhex(psk["psk"]) for psk in case["external_psks"]}

    def psks(psk: PreSharedKeyId) -> bytes | None:
        return external.get(psk.id) if psk.type is PskType.EXTERNAL else None

    return Group.join(
        unhex(case["welcome"]),
        bundle(case),
        identity=BasicIdentity(),
        now=time.time(),
        ratchet_tree=unhex(case["ratchet_tree"]) or None,
        psks=psks,
    )


@pytest.mark.vectors
@pytest.mark.parametrize("family", FAMILIES)
def test_passive_client_vectors(family: str) -> None:
    found = cases(family)
    epochs = 0
    for case in found:
        group = join(case)
        assert group.epoch_authenticator == unhex(case["initial_epoch_authenticator"]), case["_id"]
        for epoch in case["epochs"]:
            for proposal in epoch["proposals"]:
                group.process(unhex(proposal), now=0)
            group.process(unhex(epoch["commit"]), now=0)
            assert group.epoch_authenticator == unhex(epoch["epoch_authenticator"]), case["_id"]
            epochs += 1
    print(f"{family}: {len(found)} cases, {epochs} epochs passed")
