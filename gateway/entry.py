"""The `callboard` command: Ctrl-C ends it without a word also while Python still imports."""

from __future__ import annotations

import gc


def main() -> int:
    """Run one command. Returns the exit code."""
    try:
        from gateway.concealed import conceal

        conceal()
        # What is imported stays: to look for garbage in it takes a tenth of the time that a command needs to
        # start. It is looked for again once the command is known and all there.
        gc.disable()
        from gateway.cli import main as command

        return command()
    except KeyboardInterrupt:
        return 130
