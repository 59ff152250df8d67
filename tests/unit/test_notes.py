"""The file that tells readers the names that maps do not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcnat.errors import TcnatError
from tcnat.layout import Family
from tcnat.maps import MapStore
from tcnat.notes import NoRoom, Notes, NotServed, notes_path, read_notes, remove_notes, write_news, write_notes
from tcnat.resources import ServiceRef
from tcnat.translate import Unserved

from .fakes import FakeSyncer, fake_maps
from .front_ends import front_end, service_name

PINS = Path("/sys/fs/bpf/some/tcnat")
WEB = front_end("10.96.0.1", "web", "10.0.0.1")
OTHER = front_end("10.96.0.2", "other", "10.0.0.2")


def store(**entries: int) -> MapStore:
    made = MapStore(Family.IPV4, fake_maps(**entries))
    made.read()
    return made


def test_names_and_what_did_not_fit_can_be_read_back(tmp_path: Path) -> None:
    small = store(services=4)
    small.sync({WEB.key: WEB, OTHER.key: OTHER})
    assert write_news(PINS, {Family.IPV4: small}, tmp_path, syncer=FakeSyncer())
    notes = read_notes(PINS, tmp_path)
    assert notes.name(Family.IPV4, 1) == service_name("web")
    assert notes.name(Family.IPV6, 1) is None
    assert notes.no_room == (NoRoom("default", "other", "main", "TCP", "10.96.0.2", 80, "services", 4),)


def test_the_file_is_written_only_when_there_is_something_new(tmp_path: Path) -> None:
    stores = {Family.IPV4: store()}
    assert write_news(PINS, stores, tmp_path, syncer=FakeSyncer())  # what an earlier agent left may be wrong
    assert not write_news(PINS, stores, tmp_path, syncer=FakeSyncer())
    stores[Family.IPV4].sync({WEB.key: WEB})
    assert write_news(PINS, stores, tmp_path, syncer=FakeSyncer())
    stores[Family.IPV4].sync({WEB.key: front_end("10.96.0.1", "web", "10.0.0.1", "10.0.0.2")})
    assert not write_news(PINS, stores, tmp_path, syncer=FakeSyncer())
    stores[Family.IPV4].sync({WEB.key: None})
    stores[Family.IPV4].drain(0)
    assert write_news(PINS, stores, tmp_path, syncer=FakeSyncer())
    assert read_notes(PINS, tmp_path) == Notes({4: {}})


def test_what_is_not_served_can_be_read_back_and_is_news_by_itself(tmp_path: Path) -> None:
    syncer = FakeSyncer()
    stores = {Family.IPV4: store()}
    write_news(PINS, stores, tmp_path, syncer=syncer)
    name = service_name("web")
    unserved = Unserved(name, "nodePort", bytes(16), 30080), Unserved(name, "externalIP", bytes([192, 0, 2, 1]), 80)
    syncer.unserved[ServiceRef("default", "web")] = unserved
    syncer.news = True
    assert write_news(PINS, stores, tmp_path, syncer=syncer)
    assert read_notes(PINS, tmp_path).not_served == (
        NotServed("default", "web", "main", "TCP", "::", 30080),
        NotServed("default", "web", "main", "TCP", "192.0.2.1", 80),
    )
    assert not write_news(PINS, stores, tmp_path, syncer=syncer)


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"names": 3}', b'{"names": {"4": {"1": ["a"]}}}'])
def test_readers_do_without_a_file_that_is_missing_or_makes_no_sense(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        notes_path(PINS, tmp_path).write_bytes(content)
    assert read_notes(PINS, tmp_path) == Notes()


def test_each_pins_has_a_file_of_its_own(tmp_path: Path) -> None:
    write_notes(PINS, Notes({4: {1: WEB.service}}), tmp_path)
    assert read_notes(PINS.parent, tmp_path) == Notes()
    assert remove_notes(PINS, tmp_path)
    assert not remove_notes(PINS, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TcnatError, match="cannot be written"):
        write_notes(PINS, Notes(), tmp_path / "file" / "below")
