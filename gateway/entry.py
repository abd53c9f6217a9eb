"""The `callboard` command: Ctrl-C ends it without a word also while Python still imports."""

from __future__ import annotations

import gc
import os
import signal
import sys

from gateway.interrupted import CODE


def main() -> int:
    """Run one command. Returns the exit code."""
    try:
        _open_standard_streams()
        from gateway.concealed import conceal

        conceal()
        # What is imported stays: to look for garbage in it takes a tenth of the time that a command needs to
        # start. It is looked for again once the command is known and all there.
        gc.disable()
        from gateway.cli import main as command

        _hold_hangups()
        code = command()
    except SystemExit as end:  # argparse
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        return CODE
    return _end_output(code)


def _hold_hangups() -> None:
    """SIGHUP does not end a node that still starts; one that runs reads its file again."""
    from gateway.cli.commands import HELP

    if hasattr(signal, "SIGHUP") and next((word for word in sys.argv[1:] if word in HELP), "") == "start":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _open_standard_streams() -> None:
    """Open those that are closed, on nothing: the next socket would get their number, and what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free: this one.
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _end_output(code: int) -> int:
    """The exit code, which is not 0 where the last of the output could not be written: Python would say that
    in its own words."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if code == 0 and not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"callboard: {error.strerror}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or 1
    return code
