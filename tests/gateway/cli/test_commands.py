"""The command as its users meet it: processes, what they print, how they end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.cli.parsing import commands_of
from tests.gateway.cli.processes import CALLBOARD, WAIT, Command, running

NOWHERE = "http://127.0.0.1:1"
SECRET = "a-shared-secret-of-more-than-32-bytes"

Lines = tuple[str, ...]


@pytest.fixture
def run() -> Iterator:
    """Starts commands; all are gone after the test."""
    with ExitStack() as stack:

        def start(*arguments: str, **environ: str) -> Command:
            return stack.enter_context(running(*arguments, **environ))

        yield start


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    """The endpoint of a node."""
    with running("start", "--insecure", "--listen", "127.0.0.1:0") as command:
        yield "http://" + command.until(r"listening on (\S+)")[1]


def who(name: str, node: str) -> Lines:
    return ("--name", f"org/cli/{name}", "--shared-secret", SECRET, "--connect", node)


# Doing


def test_listen_prints_what_send_sends(run, node: str) -> None:
    listening = run("listen", *who("bob", node), "--count", "2", "--echo")
    listening.until("-- listening as org/cli/bob")
    sending = run("send", *who("alice", node), "--to", "org/cli/bob", "--count", "2", "--wait-reply", "hello")
    assert sending.end() == 0
    assert sending.out == "hello\nhello\n"
    assert sending.err == ""
    assert listening.end() == 0
    assert listening.out == "org/cli/alice: hello\n" * 2


def test_send_takes_lines_of_standard_input(run, node: str) -> None:
    listening = run("listen", *who("reader", node), "--count", "3")
    listening.until("-- listening")
    sending = run("send", *who("writer", node), "--to", "org/cli/reader", "--best-effort", "-")
    sending.process.stdin.write("one\ntwo\n\x1b[31mthree")
    sending.process.stdin.close()
    assert sending.end() == 0
    assert listening.end() == 0
    # What would move the cursor or colour the terminal is shown as text.
    assert [line.partition(": ")[2] for line in listening.out.splitlines()] == [
        "one",
        "two",
        r"\x1b[31mthree",
    ]


def test_lines_are_sent_as_they_come(run, node: str) -> None:
    listening = run("listen", *who("tail", node))
    listening.until("-- listening")
    sending = run("send", *who("writer", node), "--to", "org/cli/tail", "-")
    for word in ("one", "two"):
        sending.say(word)
        listening.until(f"org/cli/writer: {word}\n")
    sending.process.send_signal(signal.SIGINT)
    assert sending.end() == 130
    assert sending.err == ""


def test_who_only_sends_takes_nothing_from_a_listener_of_the_same_name(run, node: str) -> None:
    far = run("listen", *who("far", node))
    twin = run("listen", *who("twin", node))
    for listening in (far, twin):
        listening.until("-- listening")
    sending = run("send", *who("twin", node), "--to", "org/cli/far", "-")
    sending.say("there")
    far.until("org/cli/twin: there\n")
    # Both are at the node now, and in turn they would be asked.
    for number in range(4):
        caller = run("send", *who("caller", node), "--to", "org/cli/twin", f"call {number}")
        assert caller.end() == 0, caller.err
        twin.until(f"org/cli/caller: call {number}\n")


def test_bytes_that_are_no_text(run, node: str, tmp_path: Path) -> None:
    """In arguments, from a file on standard input, and to a terminal that knows ASCII alone."""
    listening = run("listen", *who("raw", node), "--count", "3", PYTHONIOENCODING="ascii")
    listening.until("-- listening")
    source = tmp_path / "lines"
    source.write_bytes(b"\xff\xfe\n" + "Grüße\r\n".encode())
    send = [CALLBOARD, "send", *who("writer", node), "--to", "org/cli/raw"]
    with source.open("rb") as lines:
        assert subprocess.run([*send, "-"], stdin=lines, timeout=WAIT, check=False).returncode == 0
    assert subprocess.run([*send, b"a\xe9"], timeout=WAIT, check=False).returncode == 0
    assert listening.end() == 0
    said = [line.partition(": ")[2] for line in listening.out.splitlines()]
    assert said == [r"\xff\xfe", r"Gr\xfc\xdfe", r"a\xe9"]


def test_the_address_of_a_socket_is_one_to_connect_to(run, tmp_path: Path) -> None:
    node = run("start", "--insecure", "--listen", f"unix:{tmp_path}/n.sock")
    address = node.until(r"listening on (\S+)")[1]
    assert address == f"unix://{tmp_path}/n.sock"
    for spelling in (address, f"unix:{tmp_path}/n.sock"):
        listening = run("listen", *who("bob", spelling))
        listening.until("-- listening")


def test_user_and_password_for_a_node(run) -> None:
    node = run("start", "--insecure", "--listen", "127.0.0.1:0", "--basic-auth", "me:a@b")
    address = node.until(r"listening on (\S+)")[1]
    ways = (
        (f"http://me:a%40b@{address}",),
        (f"http://{address}", "--auth-basic", "me:a@b"),
    )
    for url, *more in ways:
        listening = run("listen", *who("bob", url), *more)
        listening.until("-- listening")
    refused = run("listen", *who("bob", f"http://me:no-such@{address}"))
    assert refused.end() == 1
    assert "no-such" not in refused.err


def test_chat(run, node: str) -> None:
    ann = run("chat", *who("ann", node))
    ann.until("waiting to be invited")
    lead = run("chat", *who("lead", node), "--channel", "org/cli/room", "--invite", "org/cli/ann")
    lead.until("-- org/cli/ann joined")
    ann.until("-- in org/cli/room")
    lead.say("welcome")
    ann.until("org/cli/lead: welcome")
    ann.say("glad to be here")
    lead.until("org/cli/ann: glad to be here")
    lead.say("")
    assert lead.end() == 0
    ann.until("the group was closed")
    assert ann.end() == 0


def test_a_guest_that_does_not_come_and_one_that_leaves(run, node: str) -> None:
    """The others talk on."""
    ann, bob = run("chat", *who("ann", node)), run("chat", *who("ben", node))
    for member in (ann, bob):
        member.until("waiting to be invited")
    lead = run(
        "chat", *who("lead", node), "--channel", "org/cli/room", "--timeout", "0.2", "--retries", "3",
        *(word for guest in ("nobody", "ann", "ben") for word in ("--invite", f"org/cli/{guest}")),
    )  # fmt: skip
    lead.until("-- org/cli/nobody does not come: ")
    lead.until("-- org/cli/ben joined")
    ann.until("-- in org/cli/room")
    ann.say("")
    assert ann.end() == 0
    lead.until(r"-- org/cli/ann left")
    lead.say("still here")
    bob.until("org/cli/lead: still here")
    lead.say("")
    assert lead.end() == 0


def test_a_listener_outlives_killed_clients(run, node: str) -> None:
    listening = run("listen", *who("tough", node), "--echo")
    listening.until("-- listening")
    for _ in range(2):
        killed = run(
            "send", *who("brief", node), "--to", "org/cli/tough", "--count", "100000", "--wait-reply", "x"
        )
        killed.until("x\n")
        killed.process.kill()
    sending = run("send", *who("alice", node), "--to", "org/cli/tough", "--wait-reply", "hello")
    assert (sending.end(), sending.out) == (0, "hello\n")
    assert listening.process.poll() is None


def test_a_listener_may_demand_mls(run, node: str) -> None:
    listening = run("listen", *who("shy", node), "--enable-mls", "--count", "1")
    listening.until("-- listening")
    to = ("--to", "org/cli/shy", "--timeout", "0.2", "--retries", "2")
    assert run("send", *who("alice", node), *to, "in clear").end() == 1
    assert run("send", *who("alice", node), *to, "--enable-mls", "in secret").end() == 0
    assert listening.end() == 0
    assert listening.out == "org/cli/alice: in secret\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_listen_and_start(run, number: signal.Signals) -> None:
    node = run("start", "--insecure", "--listen", "127.0.0.1:0")
    endpoint = "http://" + node.until(r"listening on (\S+)")[1]
    listening = run("listen", *who("bob", endpoint))
    listening.until("-- listening")
    listening.process.send_signal(number)
    assert listening.end() == 0
    node.process.send_signal(number)
    assert node.end() == 0
    assert node.out.count("\n") == 1
    assert node.err == ""


def test_a_node_drains_what_it_has(run) -> None:
    """Everything sent before SIGTERM arrives, though best effort asks for no acknowledgement."""
    node = run("start", "--insecure", "--listen", "127.0.0.1:0")
    endpoint = "http://" + node.until(r"listening on (\S+)")[1]
    listening = run("listen", *who("bob", endpoint), "--count", "2000")
    listening.until("-- listening")
    sending = run("send", *who("alice", endpoint), "--to", "org/cli/bob", "--count", "2000", "line")
    assert sending.end() == 0
    node.process.terminate()
    assert node.end() == 0
    assert listening.end() == 0
    assert listening.out.count("line") == 2000


def test_nobody_reads_what_listen_prints(run, node: str) -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        [CALLBOARD, "listen", *who("unread", node)], stdout=writing, stderr=subprocess.PIPE, text=True
    ) as listening:
        try:
            os.close(writing)
            assert "-- listening" in listening.stderr.readline()
            os.close(reading)
            assert run("send", *who("writer", node), "--to", "org/cli/unread", "hello").end() == 0
            assert listening.wait(WAIT) == 1
            assert "Traceback" not in listening.stderr.read()
        finally:
            listening.kill()


def test_demo(run) -> None:
    demo = run("demo")
    assert demo.end() == 0
    assert "messages sent" in demo.out
    assert "\x1b[" not in demo.out
    assert demo.err == ""


# Mistakes

CLIENT = ("listen", "--name", "a/b/c", "--shared-secret", SECRET)

USAGE: dict[str, tuple[Lines, str]] = {
    "neither plain nor TLS": (
        ("start",),
        "say how to listen: --insecure for no TLS, or --tls-cert FILE and --tls-key FILE",
    ),
    "plain and TLS": (("start", "--insecure", "--tls-cert", "x"), "exclude each other"),
    "a certificate without its key": (("start", "--tls-cert", "x"), "--tls-cert FILE and --tls-key FILE"),
    "a certificate that is not there": (
        ("start", "--tls-cert", "/missing", "--tls-key", "/missing"),
        "cannot read /missing",
    ),
    "no port": (("start", "--insecure", "--listen", "here"), "expected HOST:PORT, got 'here'"),
    "no duration": (("start", "--insecure", "--drain", "soon"), '--drain: expected a duration such as "30s"'),
    "half a password": (("start", "--insecure", "--basic-auth", "me"), "--basic-auth wants USER:PASSWORD"),
    "no name": (
        ("send", "--name", "me", "--to", "a/b/c", "--shared-secret", SECRET, "x"),
        "--name: a name is",
    ),
    "no one": (("send", "--name", "a/b/c", "--to", "you", "--shared-secret", SECRET, "x"), "--to: a name is"),
    "no identity": (("listen", "--name", "a/b/c"), "say who you are: --shared-secret TEXT"),
    "no count": (
        ("send", "--name", "a/b/c", "--to", "a/b/d", "--count", "0", "x"),
        "argument --count: expected a whole number from 1 on, got '0'",
    ),
    "a wrong scheme": (
        ("listen", "--name", "a/b/c", "--shared-secret", SECRET, "--connect", "ftp://x:1"),
        "expected http(s)://HOST:PORT",
    ),
    "an authority for nothing": (
        ("listen", "--name", "a/b/c", "--shared-secret", SECRET, "--ca", "/missing"),
        "--ca goes with an https:// address",
    ),
    "no JSON": (
        ("listen", "--name", "a/b/c", "--shared-secret", SECRET, "--connect", "{"),
        "--connect: not JSON",
    ),
    "a misspelt key": (
        ("listen", "--name", "a/b/c", "--shared-secret", SECRET, "--connect", '{"endpont": "x"}'),
        "endpoint",
    ),
    "an invitation to no group": (
        ("chat", "--name", "a/b/c", "--shared-secret", SECRET, "--invite", "a/b/d"),
        "--invite needs --channel",
    ),
    "times of who does not open the session": (
        ("chat", "--name", "a/b/c", "--shared-secret", SECRET, "--retries", "3"),
        "--retries does nothing without --channel",
    ),
    "best effort with retries": (
        (
            "send",
            "--name",
            "a/b/c",
            "--shared-secret",
            SECRET,
            "--connect",
            NOWHERE,
            "--to",
            "a/b/d",
            "--best-effort",
            "--retries=3",
            "x",
        ),
        "--retries does nothing with --best-effort",
    ),
    "a Procfile of the demo of one node": (("demo", "--file", "x"), "--file does nothing without network"),
    "what carries the streams of processes": (
        ("demo", "network", "--transport", "fast"),
        "--transport does nothing with network",
    ),
    "times of a listener": (
        ("listen", "--name", "a/b/c", "--shared-secret", SECRET, "--timeout", "3"),
        "unrecognized arguments: --timeout 3",
    ),
    "an audience of a shared secret": (
        ("listen", "--name", "a/b/c", "--shared-secret", SECRET, "--audience", "a"),
        "--audience does nothing beside --shared-secret",
    ),
    "no command": ((), "the following arguments are required: COMMAND (start, config, "),
    "no command of a command": (("token",), "required: VERB (inspect, mint, verify)"),
    "no such command": (("begin",), "invalid choice: 'begin'"),
    "a mistyped command": (("lisen",), "; did you mean listen?"),
    "a mistyped option": (
        (*CLIENT, "--conect", "x"),
        "unrecognized arguments: --conect x; did you mean --connect?",
    ),
    "a mistyped option that is needed": (
        ("send", "--nam", "a/b/c", "--to", "a/b/d", "x"),
        "required: --name; --nam is unknown, did you mean --name?",
    ),
    "a mistyped level": ((*CLIENT, "--log-level", "debgu"), "; did you mean DEBUG?"),
    "a wrong address by its flag": (
        (*CLIENT, "--connect", "ftp://x:1"),
        "--connect: endpoint: expected http",
    ),
    "half a certificate": (
        (*CLIENT, "--connect", "https://x:1", "--tls-cert", "c"),
        "--tls-cert FILE and --tls-key FILE go together",
    ),
    "a certificate for nothing": ((*CLIENT, "--tls-skip-verify"), "--tls-skip-verify goes with an https://"),
    "half of a user": ((*CLIENT, "--auth-basic", "me"), "--auth-basic: expected USER:PASSWORD"),
    "two users": (
        (*CLIENT, "--auth-basic", "me:x", "--connect", "http://you:y@x:1"),
        "--auth-basic and user and password in --connect: give one of them",
    ),
    "flags beside JSON": ((*CLIENT, "--connect", "{}", "--auth-basic", "a:b"), "--auth-basic does nothing"),
}


@pytest.mark.parametrize(("arguments", "text"), USAGE.values(), ids=USAGE)
def test_a_mistake_is_one_sentence(capfd: pytest.CaptureFixture[str], arguments: Lines, text: str) -> None:
    """Run in this process, to spend no time on starting many."""
    from gateway.cli import main

    try:
        code = main(arguments)
    except SystemExit as exc:  # argparse
        code = exc.code
    out, err = capfd.readouterr()
    assert code == 2
    assert out == ""
    assert err.startswith(("callboard: ", "usage: "))
    last = err.splitlines()[-1]
    assert text in last
    assert err.startswith("usage: ") or err == last + "\n"
    assert SECRET not in err


def test_a_file_that_is_not_there_is_named_first(capfd: pytest.CaptureFixture[str]) -> None:
    from gateway.cli import main

    assert main(("up", "-f", "/nowhere/Procfile")) == 1
    assert capfd.readouterr().err == "callboard: /nowhere/Procfile: No such file or directory\n"


@pytest.mark.parametrize("words", [("--log-level", "debug", "listen"), ("listen", "--log-level", "DEBUG")])
def test_the_log_before_and_behind_the_command(words: Lines) -> None:
    from gateway.cli import parser

    arguments = parser().parse_args([*words, "--name", "a/b/c", "--log-format", "json"])
    assert (arguments.log_level, arguments.log_format) == ("DEBUG", "json")


def test_each_command_is_found_by_itself() -> None:
    """Run, only the module that adds a command is imported: its name has to stand beside that module's."""
    from gateway.cli import COMMANDS, parser

    whole = commands_of(parser())
    assert list(whole) == [command for added in COMMANDS.values() for command in added]
    for command in whole:
        assert commands_of(parser(command))[command].format_help() == whole[command].format_help()


def test_the_list_of_commands_says_the_same_without_their_modules() -> None:
    from gateway.cli import parser

    assert parser(listed=True).format_help() == parser().format_help()
    before = parser("config", listed=True)
    assert before.format_help() == parser().format_help()
    assert commands_of(before)["config"].format_help() == commands_of(parser())["config"].format_help()


def test_a_mistake_as_a_process(run) -> None:
    command = run("start")
    assert command.end() == 2
    assert command.err == (
        "callboard: say how to listen: --insecure for no TLS, or --tls-cert FILE and --tls-key FILE\n"
    )


def test_variables_that_do_nothing_are_no_mistake(run, node: str) -> None:
    """They are for all commands of an environment."""
    listening = run("listen", *who("bob", node), SLIM_RETRIES="3", SLIM_AUDIENCE="a", SLIM_TIMEOUT="0.5")
    listening.until("-- listening")
    listening.process.terminate()
    assert listening.end() == 0


def test_a_port_that_is_taken(run, node: str) -> None:
    address = node.removeprefix("http://")
    command = run("start", "--insecure", "--listen", address)
    assert command.end() == 1
    assert command.err.startswith(f"callboard: cannot listen on {address}: ")
    assert command.err.endswith("; choose another --listen\n")
    assert command.err.count("\n") == 1
    admin = run("start", "--insecure", "--listen", "127.0.0.1:0", "--admin", address)
    assert admin.end() == 1
    assert admin.err.startswith(f"callboard: the admin port cannot listen on {address}: ")
    assert admin.err.endswith("; choose another --admin\n")
    assert "Errno" not in admin.err


def test_a_node_that_wants_another_password_is_no_missing_node(run) -> None:
    node = run("start", "--insecure", "--listen", "127.0.0.1:0", SLIM_BASIC_AUTH="alice:a password")
    endpoint = "http://" + node.until(r"listening on (\S+)")[1]
    command = run("send", *who("alice", endpoint), "--to", "org/cli/bob", "hello", SLIM_AUTH_BASIC="alice:no")
    assert command.end() == 1
    assert "the node wants a user and a password, or a token" in command.err
    assert "is a node listening there" not in command.err


def test_nobody_there(run, node: str) -> None:
    gone = run("send", *who("alice", "http://127.0.0.1:1"), "--to", "org/cli/bob", "hello")
    lost = run(
        "send", *who("alice", node), "--to", "org/cli/nobody", "--timeout", "0.05", "--retries", "2", "hello"
    )
    mute = run(
        "chat", *who("alice", node), "--channel", "org/cli/room", "--invite", "org/cli/nobody",
        "--timeout", "0.05", "--retries", "2",
    )  # fmt: skip
    for command, text in (
        (gone, "cannot connect to http://127.0.0.1:1"),
        (lost, "session handshake failed: no answer"),
        (mute, "failed to add a participant to the group: org/cli/nobody"),
    ):
        assert command.end() == 1
        assert text in command.err
        *warned, last = command.err.splitlines()
        assert last.startswith("callboard: ")
        assert len(warned) <= 1
        assert all("cause='nobody there has the name org/cli/nobody'" in line for line in warned)
        assert "; is " in last, "where to look"
