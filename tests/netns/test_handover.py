"""When another version's pins go, and what is carried over before; the devices are made up."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tcnat.errors import TcnatError
from tcnat.filters import Programs
from tcnat.handover import Handover
from tcnat.layout import Family
from tcnat.loader import Loaded, load
from tcnat.pins import family_directory, generations, set_name, set_names

from .test_migrate import SMALL, flow, flow_key, other_set, pins, with_more

__all__ = ["pins"]
KEY, LATER_KEY = flow_key(1), flow_key(2)


@dataclass
class FakeKeeper:
    """As :class:`tcnat.keeper.DeviceKeeper`, of no device."""

    programs: Programs
    problems: tuple[str, ...] = ()
    refuses: bool = False
    done: list[str] = field(default_factory=list)

    def start(self) -> None:
        self.done.append("start")

    def sync(self) -> None:
        self.done.append("sync")

    def resync(self) -> None:
        self.done.append("resync")

    def replace(self, programs: Programs) -> None:
        self.done.append("replace")
        if self.refuses:
            raise TcnatError("eth0 cannot be served")
        self.programs = programs


def handover_at(pins: Path) -> tuple[Handover, FakeKeeper, dict[Family, Loaded]]:
    loaded = load(pins, entries=SMALL)
    keepers: list[FakeKeeper] = []

    def keep(programs: Programs) -> FakeKeeper:
        keepers.append(FakeKeeper(programs))
        return keepers[0]

    return Handover(pins, loaded, keep), keepers[0], loaded


@pytest.fixture
def beside(pins: Path) -> tuple[Handover, FakeKeeper, dict[Family, Loaded]]:
    """A handover beside an IPv4 set of another layout."""
    old = other_set(pins, with_more("flows"))
    old["flows"].update(KEY, b"more" + flow(1))
    return handover_at(pins)


def test_where_there_is_nobody_to_take_over_from_nothing_is_replaced(pins: Path) -> None:
    handover, keeper, _ = handover_at(pins)
    handover.start()
    handover.resync()
    assert keeper.done == ["start", "resync"]


def test_flows_are_there_before_the_programs_and_those_that_came_meanwhile_after(pins: Path) -> None:
    old = other_set(pins, with_more("flows"))
    old["flows"].update(KEY, b"more" + flow(1))
    handover, keeper, loaded = handover_at(pins)
    flows = loaded[Family.IPV4].maps["flows"]
    seen = []

    def start() -> None:
        seen.append(dict(flows.items()))
        old["flows"].update(LATER_KEY, b"more" + flow(2))

    keeper.start = start  # type: ignore[method-assign]
    handover.start()
    assert seen == [{KEY: flow(1)}]
    assert dict(flows.items()) == {KEY: flow(1), LATER_KEY: flow(2)}
    assert list(set_names(pins)) == [set_name()]


@pytest.mark.parametrize("fault", ["a device is not served", "a device keeps the old program"])
def test_the_other_version_stays_pinned_until_no_device_needs_it(
    beside: tuple[Handover, FakeKeeper, dict[Family, Loaded]], pins: Path, fault: str
) -> None:
    handover, keeper, _ = beside
    keeper.problems = ("eth0",) if fault == "a device is not served" else ()
    keeper.refuses = not keeper.problems
    with suppress(TcnatError):
        handover.start()
    assert len(list(set_names(pins))) == 2
    keeper.problems, keeper.refuses = (), False
    handover.resync()
    assert list(set_names(pins)) == [set_name()]
    count = keeper.done.count("replace")
    handover.resync()
    assert keeper.done.count("replace") == count


def test_programs_of_other_bytecode_go_and_the_maps_stay(pins: Path) -> None:
    loaded = load(pins, entries=SMALL)
    directory = family_directory(pins, Family.IPV4)
    one = loaded[Family.IPV4]
    for name, what in (("egress", one.egress), ("ingress", one.ingress), ("tails", one.maps["tails"])):
        what.pin(directory / f"{name}_0123456789ab")
    handover, keeper, _ = handover_at(pins)
    assert keeper.programs.retiring4 is None
    handover.start()
    assert generations(directory) == [one.digest]
    assert not list(directory.glob("*_0123456789ab"))
