"""The names that the actor system offers: adding one is a reviewed act."""

from __future__ import annotations

from actors import system


def test_the_public_names() -> None:
    assert sorted(system.__all__) == [
        "ActorFailed",
        "ActorGone",
        "ActorStatus",
        "ActorSystemError",
        "Address",
        "AskFailed",
        "AskTimeout",
        "BadFrame",
        "BlockingCall",
        "Cancellable",
        "Directive",
        "KeyedError",
        "LoopActor",
        "LoopSystem",
        "LoopSystemBase",
        "MailboxFull",
        "MessageCodec",
        "NotAllowed",
        "NotInVocabulary",
        "NotOnThisBase",
        "State",
        "Supervision",
        "SystemStatus",
        "SystemStopped",
        "actor_system",
        "address_from_text",
        "address_to_text",
        "handles",
    ]
    assert all(hasattr(system, name) for name in system.__all__)
