"""A process that runs a keyed system of actor processes, and conformance tests in it on request.

    python -m tests.actors.system.keyed_driver PORT KEY_IN_HEX

It prints "ready", then for each line it reads (the name of a test of `test_conformance`) "ok" or one line of
what went wrong. At the end of its input it shuts the system down and prints "down".
"""

from __future__ import annotations

import sys

from actors.system.keyed_tcp import keyed_actor_system
from tests.actors.system import test_conformance
from tests.actors.system.cast import Words


def main(port: int, key: bytes) -> None:
    system = keyed_actor_system(key=key, port=port, vocabulary=Words())
    try:
        print("ready", flush=True)
        for line in sys.stdin:
            try:
                getattr(test_conformance, line.strip())(system)
                while system.listen(0.05) is not None:
                    pass  # what one test was still told is not the next one's business
            except BaseException as error:
                print(repr(error).replace("\n", " "), flush=True)
            else:
                print("ok", flush=True)
    finally:
        system.shutdown()
    print("down", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), bytes.fromhex(sys.argv[2]))
