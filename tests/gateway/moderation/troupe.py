"""Scripts that run in processes of their own: `test_moderating.py` has them led."""

from __future__ import annotations

import os
import signal
import time

from actors.messages.wire import SessionMessage
from actors.moderation import Script
from actors.moderation.script import text
from gateway import Name


class Mortal(Script):
    """Dies in its first process, on the message that tells it to; the next one deals with that."""

    interval = 0.2
    max_retries = 20

    def on_start(self) -> None:
        self.state = os.getpid()
        self.invite("org/test/ann")

    def on_member_joined(self, member: Name) -> None:
        self.publish("welcome")

    def on_message(self, message: SessionMessage) -> None:
        if text(message) == "die" and self.state == os.getpid():
            os.kill(os.getpid(), signal.SIGKILL)
        if text(message) == "block":
            time.sleep(0.3)
        same = self.state == os.getpid()
        self.publish(f"{text(message)}: {'the first' if same else 'another'}")
        if text(message) == "end":
            self.close()
