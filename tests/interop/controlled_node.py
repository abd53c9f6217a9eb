"""An original node under a controller, with applications of its own, in a process (`slim-bindings` 1.4).

Run as `python -m tests.interop.controlled_node CONFIG NAME...`. Each line on stdout tells what happened, as
JSON: an application is there, a session came to it, it ended. The end of stdin ends the process.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import timedelta
from typing import Any

import slim_bindings as slim

SECRET = "a-shared-secret-of-more-than-32-bytes"

_lock = threading.Lock()
_out = os.fdopen(os.dup(1), "w", buffering=1)
"""Replies alone: what the library prints goes to stderr."""


def tell(**fields: Any) -> None:
    """One line."""
    with _lock:
        _out.write(json.dumps(fields) + "\n")


def listen(name: str, app: Any) -> None:
    """Tell of every session that comes."""
    while True:
        try:
            session = app.listen_for_session(timedelta(seconds=60))
        except slim.SlimError:
            continue
        tell(session=name, destination="/".join(session.destination().components()))
        threading.Thread(target=members, args=(name, session), daemon=True).start()


def members(name: str, session: Any) -> None:
    """Tell when the session is over."""
    while True:
        try:
            session.get_message(timedelta(seconds=60))
        except slim.SlimError as error:
            if "timeout" not in str(error).lower():
                tell(ended=name, why=str(error))
                return


def main() -> None:
    os.dup2(2, 1)
    slim.initialize_from_config(sys.argv[1])
    service = slim.get_global_service()
    for name in sys.argv[2:]:
        app = service.create_app_with_secret(slim.Name(*name.split("/")), SECRET)
        tell(app=name, id=app.id())
        threading.Thread(target=listen, args=(name, app), daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
