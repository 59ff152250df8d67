"""The real programs as replay runs them: reasons that add up, tables that are swept."""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tcnat.maps import MapStore
from tcnat.reasons import reasons
from tcnat.replay import world
from tcnat.replay.capture import Packet
from tcnat.replay.datapath import KernelDatapath
from tcnat.replay.engine import Engine
from tcnat.replay.formats import open_capture
from tcnat.replay.runner import TestRunner, programs_of
from tcnat.replay.side import SeenClients
from tcnat.settings import Settings
from tests.captures.catalogue import OBJECTS, cases

pytestmark = pytest.mark.root
CASES = {case.name: case for case in cases()}
DNS = CASES["dns-ipv4"]
ETHERNET = 14


@contextmanager
def engine(lru: bool | None = None) -> Iterator[tuple[Engine, world.World]]:
    """What the command makes of ``objects.yaml``."""
    front_ends = world.read_front_ends([str(OBJECTS)], "", "")
    made = world.load(front_ends, Settings(), lru)
    cpus = os.sched_getaffinity(0)
    try:
        datapath = KernelDatapath(made.loaded, TestRunner(programs_of(made.loaded), pytest.fail), made.sweepers)
        sides = SeenClients({key.address for key in front_ends})
        yield Engine(datapath, sides, world.services_of(front_ends)), made
    finally:
        os.sched_setaffinity(0, cpus)


def test_reasons_told_by_single_counters_add_up_to_what_all_counters_say() -> None:
    """No packet's reason is lost or doubled by looking only at those that could have moved."""
    told: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    with engine() as (made, with_maps):
        for packet in short_packets([case.capture for case in CASES.values() if not case.options]):
            told[made.replay(packet).reason.name] += 1
        for family, one in with_maps.loaded.items():
            for reason, count in zip(reasons(), MapStore(family, one.maps).counters(), strict=False):
                counted[reason.name] += count.packets
    assert told - Counter({name: told[name] for name in ("untouched", "not_ip", "not_a_clients")}) == +counted


def short_packets(captures: list[Path]) -> Iterator[Packet]:
    """The packets that a test run takes."""
    for path in captures:
        with open_capture(path) as capture:
            yield from (packet for packet in capture.packets() if 54 <= len(packet.data) < 3500)


def test_without_lru_maps_what_is_past_its_time_is_swept_by_the_clock_of_the_capture() -> None:
    """More flows than the table holds, of which 3,000 at a time are not past their 30 seconds."""
    question = next(packet for packet in short_packets([DNS.capture]) if packet.number == 3)
    told: Counter[str] = Counter()
    with engine(lru=False) as (made, _):
        for number in range(20_000):
            data = bytearray(question.data)
            struct.pack_into("!H", data, ETHERNET + 20, 1024 + number)
            told[made.replay(question._replace(time=number * 10_000_000, data=bytes(data))).reason.name] += 1
    assert told == {"forwarded": 20_000}
