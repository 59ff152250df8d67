"""What versions of tcnat know of each other's maps, and how they read each other's entries."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from tcnat.blueprint import Blueprint, converter, decode, encode, present_blueprint, size_of
from tcnat.layout import FLOW, MAPS, Family, MapLayout, Struct

OLD = (("address", "A"), ("port", "2s"), ("pad", "H"), ("seen", "I"), ("gone", "I"))
NEW = (("added", "I"), ("address", "A"), ("port", "2s"), ("pad", "H"), ("seen", "Q"))


def blueprint_with(name: str, **changes: object) -> Blueprint:
    layouts = {**MAPS, name: replace(MAPS[name], **changes)}
    return present_blueprint(layouts=layouts.values())


def test_a_blueprint_is_read_as_it_was_kept() -> None:
    assert decode(encode(present_blueprint())) == present_blueprint()


@pytest.mark.parametrize("raw", [b"", b"\0\0", b"[]", b'{"version": "old"}'])
def test_what_is_no_blueprint_is_none(raw: bytes) -> None:
    assert decode(raw) is None


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("flows", {"value": Struct("flow", (*FLOW.fields, ("more", "I")))}),
        ("flows", {"value": Struct("flow", tuple(reversed(FLOW.fields)))}),
        ("services", {"flags": 0}),
        ("timeouts", {"entries": 12}),
    ],
    ids=["a field more", "the same fields in another order", "another flag", "a longer array"],
)
def test_maps_that_cannot_be_shared_have_another_fingerprint(name: str, changes: dict[str, object]) -> None:
    changed = blueprint_with(name, **changes)
    assert changed.fingerprint != present_blueprint().fingerprint
    assert {each for each in MAPS if changed.maps[each] != present_blueprint().maps[each]} == {name}


@pytest.mark.parametrize("layout", MAPS.values(), ids=list(MAPS))
def test_fields_are_known_by_their_names(layout: MapLayout) -> None:
    for each in (layout.key, layout.value):
        names = [name for name, _ in each.fields]
        assert len(set(names)) == len(names)


def test_the_size_of_a_table_does_not_tell_versions_apart() -> None:
    assert blueprint_with("flows", entries=64).fingerprint == present_blueprint().fingerprint


def test_another_map_or_version_is_another_fingerprint() -> None:
    more: list[MapLayout] = [*MAPS.values(), replace(MAPS["hairpin"], name="another")]
    prints = {present_blueprint(layouts=more).fingerprint, present_blueprint(version=99).fingerprint}
    assert len(prints | {present_blueprint().fingerprint}) == 3


@pytest.mark.parametrize(("family", "address"), [(Family.IPV4, b"\x0a\1\2\3"), (Family.IPV6, bytes(range(16)))])
def test_fields_are_taken_over_by_their_names(family: Family, address: bytes) -> None:
    old = address + b"\x1f\x90" + struct.pack("=HII", 0, 1234, 99)
    new = struct.pack("=I", 7) + address + b"\x1f\x90" + struct.pack("=HQ", 0, 1234)
    base = struct.pack("=I", 7) + bytes(len(new) - 4)
    assert converter(OLD, NEW, family)(old, base) == new
    assert size_of(NEW, family) == len(new)


def test_and_back_again_loses_only_what_the_other_does_not_know() -> None:
    old = b"\x0a\1\2\3\x1f\x90" + struct.pack("=HII", 0, 1234, 99)
    new = converter(OLD, NEW, Family.IPV4)(old, bytes(size_of(NEW, Family.IPV4)))
    assert converter(NEW, OLD, Family.IPV4)(new, bytes(len(old))) == old[:-4] + bytes(4)


def test_a_number_that_does_not_fit_is_not_cut_off() -> None:
    convert = converter((("seen", "Q"),), (("seen", "I"),), Family.IPV4)
    assert convert(struct.pack("=Q", 2**32 - 1), bytes(4)) == b"\xff" * 4
    with pytest.raises(OverflowError):
        convert(struct.pack("=Q", 2**32), bytes(4))


def test_a_field_that_became_another_thing_is_left_as_it_is_made() -> None:
    assert converter((("name", "8s"),), (("name", "4s"),), Family.IPV4)(b"abcdefgh", b"none") == b"none"
