"""Citations are addresses: what code and documents say of one another resolves (`docs/README.md`).

Walked are code, tests, examples and documents. An address is a numbered heading of a document, a path from
the top of the repository, or the dotted name of a module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("actors", "gateway", "identity", "tests", "examples", "docs")
SUFFIXES = {".py", ".pyi", ".toml", ".md", ".proto", ".yaml"}
GENERATED = ("_pb2.py", "_pb2_grpc.py", "_pb2.pyi")
VECTORS = ROOT / "tests/vectors"
"""What others published: it names the files of others."""
DOCUMENTS = {path.name: path for path in [ROOT / "docs/design.md", *(ROOT / "docs/protocol").glob("*.md")]}

NUMBER = r"\d+(?:\.\d+)*"
HEADING = re.compile(rf"^#+ ({NUMBER})\.? .*$", re.M)
ITEM = re.compile(r"^(\d+)\. ", re.M)
MENTION = re.compile(r"[\w./-]*[\w-]\.md\b")
CITATION = re.compile(
    rf"`(?P<document>[\w-]+\.md)`(?: (?P<numbers>{NUMBER}(?:(?:, | to ){NUMBER})*))?"
    r"(?:, points? (?P<points>\d+(?:, \d+)*))?(?P<rest>.{0,6})"
)
OWN_SECTION = re.compile(rf"§§?({NUMBER})(?:–({NUMBER}))?|(?<!\d{{4}} )(?<!\d{{4}}, )[Ss]ections? ({NUMBER})")
BARE_SECTION = re.compile(rf"(?<!\d{{4}} )(?<!\d{{4}}, )(?:[Ss]ections? |§){NUMBER}")
PATH = re.compile(r"(?<![\w/.:~{}-])(?:actors|gateway|identity|tests|examples|docs|\.ci)/(?!s\b)[\w./-]*")
NEIGHBOUR = re.compile(r"`(\w+\.py)`")
DOTTED = re.compile(r"`((?:actors|gateway|identity|tests)(?:\.(?!md`|json`)\w+)+)`")


class Text(NamedTuple):
    """A file as one line: a citation may be broken at its end."""

    path: Path
    line: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @classmethod
    def of(cls, path: Path, text: str) -> Text:
        marks = r"(?:> )?" if path.suffix == ".md" else r"(?:#:? |// )?"
        return cls(path, re.sub(rf"\s*\n\s*{marks}", " ", text))


@cache
def texts() -> tuple[Text, ...]:
    files = [ROOT / "README.md", ROOT / "pyproject.toml"]
    for folder in FOLDERS:
        files += sorted((ROOT / folder).rglob("*"))
    return tuple(
        Text.of(path, path.read_text())
        for path in files
        if path.suffix in SUFFIXES
        and not path.name.endswith(GENERATED)
        and VECTORS not in path.parents
        and path != Path(__file__).resolve()
    )


@cache
def sections(document: str) -> dict[str, str]:
    """What stands under each numbered heading, up to the next heading."""
    text = DOCUMENTS[document].read_text()
    found = list(HEADING.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return {match[1]: text[match.end() : end] for match, end in zip(found, ends, strict=True)}


def unresolved_citations(text: Text) -> Iterator[str]:
    """Mentions of documents that are no citation, or lead nowhere."""
    for match in MENTION.finditer(text.line):
        mention, before, after = match[0], text.line[: match.start()], text.line[match.end() :]
        name = mention.rpartition("/")[2]
        if before.endswith("]("):
            # A link of one page to another.
            if not (text.path.parent / mention).exists():
                yield f"{mention}: no such page"
        elif mention == name and name not in DOCUMENTS and name not in ("README.md", "CHANGELOG.md"):
            yield f"{name}: no such document"
        elif mention == name in DOCUMENTS and not (before.endswith("`") and after.startswith("`")):
            yield f"{name}: not cited as `{name}` N"
        elif mention != name in DOCUMENTS and re.match("`? [0-9§]", after):
            yield f"{mention}: not cited as `{name}` N"
    for match in CITATION.finditer(text.line):
        document = match["document"]
        if document not in DOCUMENTS:
            continue
        numbers = re.findall(NUMBER, match["numbers"] or "")
        for number in numbers:
            if number not in sections(document):
                yield f"`{document}` {number}: no such section"
        if re.match(r" ?[-–] ?\d| and \d| §|, \"| sect", match["rest"]):
            yield f"{match[0]}: not the form of a citation"
        for point in re.findall(r"\d+", match["points"] or ""):
            if not numbers or point not in ITEM.findall(sections(document).get(numbers[-1], "")):
                yield f"{match[0]}: no such point"


def unresolved_sections(text: Text) -> Iterator[str]:
    """In a document "section 7" is one of its own; elsewhere it needs a document or an RFC beside it."""
    if DOCUMENTS.get(text.path.name) == text.path:
        for match in OWN_SECTION.finditer(text.line):
            for number in filter(None, match.groups()):
                if number not in sections(text.path.name):
                    yield f"{match[0]}: no such section"
    elif text.path.suffix != ".md" and "mls" not in text.path.parts:
        for match in BARE_SECTION.finditer(text.line):
            yield f"{match[0]}: of what?"


def exists(cited: str) -> bool:
    """Whether a path from the top of the repository is there. Capitals stand for any name."""
    parts = cited.rstrip("./-").split("/")
    if parts[:2] == ["tests", "vectors"] and not VECTORS.exists():
        return True  # a source distribution comes without
    for index, part in enumerate(parts):
        if part.split(".")[0].isupper() and part not in ("README.md", "CHANGELOG.md"):
            parts = parts[:index]
            break
    return (ROOT / "/".join(parts)).exists()


def unresolved_paths(text: Text) -> Iterator[str]:
    for cited in PATH.findall(text.line):
        if not exists(cited):
            yield f"{cited}: no such file"
    if text.path.suffix == ".py":
        for name in NEIGHBOUR.findall(text.line):
            if not (text.path.parent / name).exists():
                yield f"{name}: no such file beside it"
    for dotted in DOTTED.findall(text.line):
        if not names_something(dotted):
            yield f"{dotted}: no such module"


def names_something(dotted: str) -> bool:
    """Whether a dotted name is a module, or something that a module's text names."""
    parts = dotted.split(".")
    place = ROOT
    for index, part in enumerate(parts):
        if (place / part).is_dir():
            place = place / part
            continue
        module = place / f"{part}.py"
        rest = parts[index + 1 :] if module.exists() else parts[index:]
        source = module if module.exists() else place / "__init__.py"
        return all(re.search(rf"\b{name}\b", source.read_text()) for name in rest)
    return True


@pytest.mark.parametrize("unresolved", [unresolved_citations, unresolved_sections, unresolved_paths])
def test_citations_resolve(unresolved: Callable[[Text], Iterator[str]]) -> None:
    wrong = [f"{text.name}: {problem}" for text in texts() for problem in unresolved(text)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_section_of_a_document_is_numbered_once(document: str) -> None:
    text = re.sub(r"```.*?```", "", DOCUMENTS[document].read_text(), flags=re.S)
    headings = re.findall(r"^##+ .*$", text, re.M)
    numbers = [match[1] for match in HEADING.finditer(text)]
    assert len(headings) == len(numbers) == len(set(numbers))
    assert {number.rpartition(".")[0] for number in numbers} <= {"", *numbers}


def test_there_is_something_to_walk() -> None:
    cited = {match["document"] for text in texts() for match in CITATION.finditer(text.line)}
    assert cited >= {"design.md", "dataplane.md", "session.md", "identity.md", "api.md"}
    assert sum(len(CITATION.findall(text.line)) for text in texts()) > 100


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("(`session.md` 6.6)", ""),
        ("(`session.md` 7.1, 7.2, 7.5)", ""),
        ("(`session.md`\n    # 14, points 2, 3, 8)", ""),
        ("(`session.md` 6.9)", "`session.md` 6.9: no such section"),
        ("(`session.md` 7.3 to 7.9)", "`session.md` 7.9: no such section"),
        ("(`session.md` 14, point 10)", "no such point"),
        ("(`session.md` 7.3 - 7.6)", "not the form of a citation"),
        ("(`session.md` 7.1 and 7.2)", "not the form of a citation"),
        ("(session.md 6.6)", "not cited as `session.md` N"),
        ("(`docs/protocol/session.md` 6.6)", "not cited as `session.md` N"),
        ("(`sessions.md` 6)", "sessions.md: no such document"),
        ("# the peer's routes (section 8)", "section 8: of what?"),
        ("# RFC 7519, section 2; RFC 7518 section 3.4", ""),
        ("see `actors/messages.py`", "actors/messages.py: no such file"),
        ("see `actors/messages/wire.py`, `examples/identity/NAME.py`, tests/actors/...", ""),
        ("`nothing.py` does it", "nothing.py: no such file beside it"),
        ("`actors.connections` and `actors.names.Name`", "actors.connections: no such module"),
    ],
)
def test_what_leads_nowhere_is_found(said: str, problem: str) -> None:
    text = Text.of(ROOT / "actors/names.py", said)
    found = [*unresolved_citations(text), *unresolved_sections(text), *unresolved_paths(text)]
    assert len(found) == bool(problem)
    assert problem in "".join(found)
