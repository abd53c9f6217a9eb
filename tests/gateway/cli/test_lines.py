"""Standard input line by line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from gateway.cli.lines import lines
from identity.errors import ConfigError


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


async def test_a_line_comes_when_it_is_whole(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    coming = lines(reading)
    os.write(writing, b"one\nhal")
    assert await asyncio.wait_for(anext(coming), 10) == b"one"
    waiting = asyncio.ensure_future(anext(coming))
    os.write(writing, b"f\r\n\nlast")
    assert await asyncio.wait_for(waiting, 10) == b"half"
    os.close(writing)
    assert [line async for line in coming] == [b"", b"last"]


async def test_a_line_without_end_is_refused(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b"x" * 20)
    os.close(writing)
    with pytest.raises(ConfigError, match="a line of more than 10 bytes"):
        await anext(lines(reading, 10))
