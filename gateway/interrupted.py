"""Ctrl-C while the command still imports, before `gateway.entry` runs: it ends with 130, without a word.

Python runs this package's `__init__`, which imports much, before anything of the command's own. A program
that imports the package keeps its own ways with Ctrl-C.
"""

import os
import signal
import sys
from types import FrameType

CODE = 128 + signal.SIGINT
_COMMANDS = ("callboard", "callboard.exe", "callboard-script.py")


def end_quietly() -> None:
    """From now on SIGINT ends the process at once, if it is the command's and SIGINT was not dealt with."""
    words = sys.orig_argv
    is_ours = os.path.basename(sys.argv[0]) in _COMMANDS or (sys.argv[0] == "-m" and "gateway.cli" in words)
    if is_ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def interrupt_again() -> None:
    """SIGINT is a KeyboardInterrupt again: somebody is there to see it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    # Nothing is begun that would have to be ended; an exception would be told by whichever import it meets.
    os._exit(CODE)
