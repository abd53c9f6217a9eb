"""`callboard moderator` and its journal: whose it is, who takes over, and what is refused."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway import IdentityProvider, IdentityVerifier, Slim
from gateway.cli import main
from gateway.moderation.disk import FileDisk
from identity.errors import ConfigError
from tests.gateway.cli.processes import ROOT, WAIT, Command, running

SECRET = "a-shared-secret-of-more-than-32-bytes"
Start = Callable[..., Command]


@pytest.fixture
def run() -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda *arguments, **environ: stack.enter_context(running(*arguments, **environ))


@pytest.fixture
def moderator(run: Start, tmp_path: Path) -> Callable[[str], Command]:
    """Starts one at the node of an address, on a journal that is the same each time."""
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))

    def start(endpoint: str) -> Command:
        return run(
            *("moderator", str(ROOT / "examples/memory.py"), "--name", "org/test/chair"),
            *("--channel", "org/test/room", "--connect", endpoint, "--shared-secret", SECRET),
            *("--journal", str(tmp_path / "journal"), "--journal-key", str(key)),
            MEMORY_GUESTS="org/test/ann",
        )

    return start


async def test_a_group_is_handed_to_the_process_that_waits_for_its_journal(
    run: Start, moderator: Callable[[str], Command]
) -> None:
    node = "http://" + run("start", "--insecure", "--listen", "127.0.0.1:0").until(r"listening on (\S+)")[1]
    pair = (kind.SharedSecret("org/test/ann", SECRET) for kind in (IdentityProvider, IdentityVerifier))
    async with Slim("org/test/ann", *pair, local_service=True) as ann, asyncio.timeout(WAIT):
        await ann.connect({"endpoint": node, "tls": {"insecure": True}})
        first = moderator(node)
        session = await ann.listen_for_session()
        await (await session.publish(b"one"))
        second = moderator(node)
        # One journal, one moderator: the second one is there and waits.
        await asyncio.sleep(0.5)
        assert second.process.poll() is None
        assert "leading" not in second.out
        first.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(first.end) == 0
        await asyncio.to_thread(second.until, "leading org/test/room as org/test/chair")
        assert "the group goes on" in second.err
        await (await session.publish(b"two"))
        assert not session.over
        second.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(second.end) == 0
        async for _ in session:
            """Until the group is closed."""
        assert session.over


@pytest.mark.parametrize("damage", ["changed", "cut", "another key"])
def test_a_journal_that_is_not_as_it_was_is_refused_with_a_sentence(
    run: Start, moderator: Callable[[str], Command], tmp_path: Path, damage: str
) -> None:
    node = "http://" + run("start", "--insecure", "--listen", "127.0.0.1:0").until(r"listening on (\S+)")[1]
    first = moderator(node)
    first.until("leading")
    first.process.send_signal(signal.SIGTERM)
    assert first.end() == 0
    journal = tmp_path / "journal"
    data = bytearray(journal.read_bytes())
    match damage:
        case "changed":
            data[len(data) // 2] ^= 1
            journal.write_bytes(data)
        case "cut":
            journal.write_bytes(data[: len(data) // 2])
        case _:
            (tmp_path / "key").write_bytes(bytes(32))
    second = moderator(node)
    assert second.end() not in (0, None)
    assert "Traceback" not in second.err
    assert "journal" in second.err, second.err
    assert len(second.err.splitlines()) == 1, second.err


async def test_a_journal_of_another_process_or_for_all_to_read_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    disk = await FileDisk.take(path)
    with pytest.raises(ConfigError, match="is kept by another process; end that one first"):
        await FileDisk.take(path, patience=0.0)
    disk.close()
    path.touch(mode=0o644)
    with pytest.raises(ConfigError, match="can be read by others"):
        await FileDisk.take(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match="is not a regular file"):
        await FileDisk.take(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from gateway import Script\n\nclass Chair(Script:\n", "callboard: {}, line 3: "),
        ("\nimport no_such_module\n", "callboard: {} cannot be imported: No module named 'no_such_module'"),
        (
            "def seats():\n    return 1 // 0\n\nseats()\n",
            'File "{0}", line 4, in <module>\n    seats()\n  File "{0}", line 2, in seats\n',
        ),
    ],
)
def test_a_script_that_does_not_import_says_which_line_of_it(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "chair.py"
    script.write_text(text)
    words = ("--name", "org/test/chair", "--channel", "org/test/room", "--shared-secret", SECRET)
    assert main(["moderator", str(script), *words]) == 2
    err = capsys.readouterr().err
    assert said.format(script) in err
    assert "loading.py" not in err
    assert "importlib" not in err
    assert err.splitlines()[-1].startswith(f"callboard: {script}")
