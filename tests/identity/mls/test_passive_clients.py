"""Groups that other implementations ran: join them, follow them, agree with them on every epoch."""

from __future__ import annotations

import pytest

from identity.mls.authentication_service import BasicIdentity
from identity.mls.group import Group
from identity.mls.proposal import PreSharedKeyId, PskType
from tests.identity.mls.support import Case, bundle_of, cases, unhex

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


def join(case: Case) -> Group:
    external = {unhex(psk["psk_id"]): unhex(psk["psk"]) for psk in case["external_psks"]}

    def psks(psk: PreSharedKeyId) -> bytes | None:
        return external.get(psk.id) if psk.type is PskType.EXTERNAL else None

    return Group.join(
        unhex(case["welcome"]),
        bundle_of(case),
        identity=BasicIdentity(),
        now=0,
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
