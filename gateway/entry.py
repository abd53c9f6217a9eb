"""The `callboard` command: Ctrl-C ends it without a word also while Python still imports."""

from __future__ import annotations


def main() -> int:
    """Run one command. Returns the exit code."""
    try:
        from gateway.concealed import conceal

        conceal()
        from gateway.cli import main as command

        return command()
    except KeyboardInterrupt:
        return 130
