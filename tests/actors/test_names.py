from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.names import NO_ID, NO_INSTANCE, Name, component_hash, instance_id

TRANSCRIPTS = sorted((Path(__file__).parents[1] / "vectors" / "transcripts").glob("[!w]*.jsonl"))


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("org", 0x873E580376EA963B),
        ("default", 0x219303C7C93F9668),
        ("bob", 0x49AE1B437AE573C4),
        ("agntcy", 0x169CA82EB17D6BC2),
        ("ns", 0xEEF9769A4C6990D1),
        ("", 0x95634172A60B7544),
    ],
)
def test_component_hash_is_xxh64_with_a_trailing_ff(text: str, digest: int) -> None:
    assert component_hash(text) == digest


@pytest.mark.parametrize(
    ("identity_id", "expected"),
    [
        ("org/default/bob/ffffffffffffffff_dl0IOJre", 0x2B35CB39C12A50A0),
        ("org/default/bob_R1qD7AV0", 0x6D682AC1407965EB),
        ("alice-subject", 0xE5C57B17E6C3E47E),
        ("bob-subject", 0xFABB8E46988F4E90),
    ],
)
def test_instance_id_is_siphash13(identity_id: str, expected: int) -> None:
    assert instance_id(identity_id) == expected


def test_display_form() -> None:
    assert str(Name("org", "default", "bob", 0x2B35CB39C12A50A0)) == "org/default/bob/2b35cb39c12a50a0"
    assert str(Name("org", "default", "bob")) == "org/default/bob/ffffffffffffffff"


def test_unset_id_reads_all_ones() -> None:
    name = Name("a", "b", "c")
    assert name.id == NO_ID
    assert not name.has_id
    assert name.components() == [*map(component_hash, "abc"), NO_ID]


def test_zero_is_an_id() -> None:
    assert Name("a", "b", "c", 0).has_id
    assert Name("a", "b", "c", 0) != Name("a", "b", "c")


@pytest.mark.parametrize("attribute", ["id", "key", "instance", "strings", "wire", "other"])
def test_a_name_is_immutable(attribute: str) -> None:
    name = Name("a", "b", "c")
    with pytest.raises(AttributeError, match="immutable"):
        setattr(name, attribute, getattr(name, attribute, None))
    with pytest.raises(AttributeError, match="immutable"):
        delattr(name, attribute)


def test_another_id_is_another_name_without_its_encoded_form() -> None:
    name = Name("a", "b", "c")
    name.remember(b"old")
    other = name.with_id(7)
    assert (other, other.id, other.wire) == (Name("a", "b", "c", 7), 7, None)
    assert (name.has_id, name.wire) == (False, b"old")
    assert name.equal_without_id(other)
    assert other.without_id() == name


def test_keys_of_tables_are_bytes_in_network_order() -> None:
    name = Name("a", "b", "c", 0x0102)
    assert name.key == b"".join(component_hash(text).to_bytes(8) for text in "abc")
    assert name.instance == b"\0\0\0\0\0\0\1\2"
    assert Name("a", "b", "c").instance == NO_INSTANCE


def test_a_name_can_be_copied_and_pickled() -> None:
    name = Name("a", "b", "c", 5)
    for again in (copy.copy(name), copy.deepcopy(name), pickle.loads(pickle.dumps(name))):
        assert (again, again.strings) == (name, name.strings)


@pytest.mark.parametrize("bad", [("", "b", "c"), ("a", "", "c"), ("a", "b", "")])
def test_empty_components_are_refused(bad: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match="three non-empty components"):
        Name(*bad)


@pytest.mark.parametrize("bad", [-1, 2**64])
def test_ids_outside_64_bits_are_refused(bad: int) -> None:
    with pytest.raises(ValueError, match="unsigned 64-bit"):
        Name("a", "b", "c", bad)


@pytest.mark.parametrize("text", ["", "a", "a/b", "a//c", "a/b/c/d/e", "a/b/c/zz"])
def test_texts_that_are_no_name_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(a name is|the fourth part of a name is)"):
        Name.parse(text)


part = st.text(
    st.characters(exclude_characters="/", exclude_categories=["Cs", "Zs", "Cc"]), min_size=1
).filter(lambda s: s == s.strip())


@given(part, part, part, st.integers(0, NO_ID))
def test_parse_reads_what_str_writes(a: str, b: str, c: str, id: int) -> None:
    name = Name(a, b, c, id)
    assert Name.parse(str(name)) == name
    assert Name.parse(f"{a}/{b}/{c}") == name.without_id()


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda p: p.stem)
def test_every_recorded_name_hashes_as_recorded(path: Path) -> None:
    seen = 0
    for line in path.read_text().splitlines()[1:]:
        for name in recorded_names(json.loads(line).get("msg", {})):
            strings, hashes = name["str_name"], name["name"]
            for i in range(3):
                assert component_hash(strings[f"str_component_{i}"]) == int(hashes[f"component_{i}"])
            seen += 1
    assert seen


def recorded_names(value: object) -> list[dict]:  # type: ignore[type-arg]
    if isinstance(value, dict):
        if "str_name" in value:
            return [value]
        return [n for v in value.values() for n in recorded_names(v)]
    if isinstance(value, list):
        return [n for v in value for n in recorded_names(v)]
    return []
