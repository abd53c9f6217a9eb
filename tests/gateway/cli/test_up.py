"""`callboard up`: processes of a Procfile as processes."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.up import ProcfileEntry, chosen, read_procfile
from identity.errors import ConfigError
from tests.gateway.cli.processes import CALLBOARD, WAIT, Command, running

SLEEPER = "exec sleep 60"


def up(folder: Path, text: str, *names: str):
    path = folder / "Procfile"
    path.write_text(text)
    return running("up", "--file", str(path), *names)


def gone(number: str) -> bool:
    """Whether no process of the number runs; one that nobody waits for may stay in the table."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", number], capture_output=True, text=True)
    return found.stdout.strip() in ("", "Z")


def stopped(company: Command, number: signal.Signals) -> int:
    company.process.send_signal(number)
    return company.end()


def test_names_and_commands_are_read() -> None:
    text = "# the network\n\nnode-1: exec callboard start\n  web:  sleep 1: 2\n"
    assert read_procfile(text) == [
        ProcfileEntry("node-1", "exec callboard start"),
        ProcfileEntry("web", "sleep 1: 2"),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Procfile names no process"),
        ("a: true\nb", "Procfile, line 2: not of the form NAME: COMMAND"),
        ("a:", "line 1: not of the form"),
        ("a b: true", "line 1: not of the form"),
        ("a: true\na: false", "line 2: a second process of the name a"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_procfile(text)


def test_some_may_be_chosen() -> None:
    lines = read_procfile("a: true\nb: true\nc: true")
    assert [line.name for line in chosen(lines, ["c", "a"])] == ["a", "c"]
    with pytest.raises(ConfigError, match="no process d: there are a, b, c"):
        chosen(lines, ["d"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_and_they_end_in_order(tmp_path: Path, number: signal.Signals) -> None:
    trap = "trap 'echo going; exit 0' TERM; echo here; while :; do sleep 0.05; done"
    with up(tmp_path, f"polite: {trap}\nplain: {SLEEPER}\n") as company:
        company.until(r"polite \| here")
        process = company.until(r"plain  \| started, process (\d+)").group(1)
        assert stopped(company, number) == 0
        assert "polite | going\n" in company.out
        assert "plain  | ended by SIGTERM\n" in company.out
        assert gone(process)


def test_the_end_of_one_ends_all_with_its_code(tmp_path: Path) -> None:
    with up(tmp_path, f"node: {SLEEPER}\nfails: echo oh; exit 3\n") as company:
        assert company.end() == 3
        assert "fails | oh\n" in company.out
        assert "fails | ended, exit code 3\n" in company.out
        assert gone(company.until(r"node  \| started, process (\d+)").group(1))


def test_what_a_shell_started_ends_with_it(tmp_path: Path) -> None:
    with up(tmp_path, "shell: sleep 60 & echo child $!; wait\n") as company:
        child = company.until(r"child (\d+)").group(1)
        stopped(company, signal.SIGTERM)
        assert gone(child)


def test_a_second_signal_kills_who_does_not_listen(tmp_path: Path) -> None:
    with up(tmp_path, "deaf: trap 'echo no' TERM; echo here; while :; do sleep 0.05; done\n") as company:
        company.until("here")
        company.process.send_signal(signal.SIGINT)
        company.until("no")
        assert stopped(company, signal.SIGINT) == 0
        assert "deaf | ended by SIGKILL\n" in company.out


def test_bytes_that_are_no_text_and_long_lines_come_through(tmp_path: Path) -> None:
    with up(
        tmp_path, "odd: printf 'a\\377b\\n'; head -c 300000 /dev/zero | tr '\\0' x; printf '\\nend'\n"
    ) as company:
        assert company.end() == 0
        assert "odd | a\\xffb\n" in company.out
        assert company.out.count("x") == 300_000 + len("xx")  # of \\xff and "exit"
        assert "odd | end\n" in company.out


def test_only_those_that_are_named_run_in_the_folder_of_the_file(tmp_path: Path) -> None:
    with up(tmp_path, "a: echo not me\nb: pwd\n", "b") as company:
        assert company.end() == 0
        assert "not me" not in company.out
        assert f"b | {tmp_path}\n" in company.out


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with running("up", "--file", str(tmp_path / "none")) as company:
        assert company.end() == 1
        assert "No such file" in company.err


def test_a_file_that_is_no_text_is_one_sentence(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_bytes(b"\xff\xfe")
    assert main(("up", "-f", str(path))) == 2
    assert capfd.readouterr().err == f"callboard: {path}: not UTF-8\n"


def test_nobody_is_left_when_nobody_reads_any_more(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_text(f"talks: yes\nsleeps: echo $$; {SLEEPER}\n")
    first = subprocess.run(
        f"{CALLBOARD} up --file {path} sleeps talks | head -n 20000 | grep -o 'sleeps.*process.*'",
        shell=True,
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    assert "Traceback" not in first.stderr
    assert gone(first.stdout.split()[-1])
