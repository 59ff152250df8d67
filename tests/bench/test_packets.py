"""Single packets: the cycle serves what it says, the calibration finds its entries, and the counting machine is the
kernel's equal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.packets import connection
from bench.packets.counting import HASHES, Counted, counts, machine_of
from bench.packets.flowtable import FEW, FlowTable
from bench.packets.kinds import KINDS, Device, Kind, driver, open_flows
from bench.packets.programs import Course, Driver, Rig
from bench.packets.results import of_connections, of_costs, of_times
from bench.packets.stats import Reading, statistics
from bench.packets.timing import CALIBRATION, EMPTY, TCNAT, CycleBroken, Effort, Stage, staged
from bench.packets.world import settle
from tcnat.layout import Family
from tests.packets.runner import Verdict

pytestmark = pytest.mark.root

SMALL = Effort(placements=1, rounds=1, repeat=100, begun=20)
PASSING = Verdict.PASS.value


@pytest.fixture(scope="module", params=list(Family), ids=lambda family: f"IPv{family}")
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The programs, with Services and open flows."""
    made = Rig(request.param, {"flows": 16384})
    settle(made.maps, made.family, 10)
    for device in Device:
        open_flows(made, device)
    yield made
    made.close()


@pytest.mark.parametrize("device", list(Device))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.key)
def test_a_packet_is_served_as_its_kind_is_each_time(rig: Rig, kind: Kind, device: Device) -> None:
    times = Stage(rig, kind, device).run(SMALL)
    assert times.keys() == {TCNAT, CALIBRATION, EMPTY}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.reply and kind.reason], ids=lambda kind: kind.key)
def test_a_cycle_without_its_flows_is_noticed(kind: Kind) -> None:
    bare = Rig(Family.IPV4, {"flows": 1024})
    with pytest.raises(CycleBroken, match="nothing"):
        Stage(bare, kind, Device.NETWORK).run(SMALL)
    bare.close()


def test_the_calibration_finds_what_it_looks_for(rig: Rig) -> None:
    frame = KINDS[0].make(rig.family, Device.NETWORK)
    for program in (rig.calibration, rig.calibration_flows, rig.empty):
        assert Driver(rig, "again", program, Course()).result(frame).verdict == PASSING


def test_a_calibration_that_finds_nothing_says_so() -> None:
    bare = Rig(Family.IPV6, {"flows": 1024})
    assert bare.calibration.test_run(bytes(64)).verdict == Verdict.DROP.value
    bare.close()


@pytest.mark.parametrize("device", list(Device))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.key)
def test_the_counting_machine_makes_of_a_packet_what_the_kernel_makes(rig: Rig, kind: Kind, device: Device) -> None:
    frame = kind.make(rig.family, device)
    entry = "tc_ingress" if kind.reply else "tc_egress"
    trace = machine_of(rig).run(entry, frame, device.classid)
    found = Driver(rig, "again", kind.program(rig), Course(device.classid)).result(frame)
    assert (trace.verdict, trace.frame) == (found.verdict, found.frame)
    assert (trace.frame != frame) == bool(kind.reason)


def test_look_ups_are_counted_by_the_sort_of_map(rig: Rig) -> None:
    rows = {(row.kind.key, row.device): row for row in counts(rig)}
    assert _hashes(rows, "forward_open_tcp") == 2  # the front end, the flow
    assert _hashes(rows, "reply_open_tcp") == 1
    assert _hashes(rows, "forward_pass") == 1
    assert _hashes(rows, "forward_new_tcp") > 2
    longest = rows["forward_new_tcp", Device.NETWORK].trace
    assert longest.programs == ["tc_egress", "egress_new", "egress_rewrite"]
    assert longest.calls["tail call"] == 2


def _hashes(rows: dict[tuple[str, Device], Counted], key: str) -> int:
    return rows[key, Device.NETWORK].numbers()[HASHES]


def test_times_become_series_with_verdicts(rig: Rig) -> None:
    times = {key: {name: (runs,) * 6 for name, runs in stage.run(SMALL).items()} for key, stage in staged(rig)}
    results = of_times(times)
    assert len(results.measures) == len(KINDS)
    assert {each.measure for each in results.series} == {each.key for each in results.measures}
    assert len(results.verdicts) == sum("_open_" in kind.key for kind in KINDS)


def test_a_flow_table_holds_the_flows_that_it_is_filled_with() -> None:
    table = FlowTable(Family.IPV4, FEW)
    costs = {
        (way, chosen, FEW): (table.cost(way, FEW, 500),) for way in ("forward", "reply") for chosen in ("few", "all")
    }
    table.close()
    assert len({figure.name for figure in of_costs(Family.IPV4, costs)}) == len(of_costs(Family.IPV4, costs))


@pytest.mark.parametrize("family", list(Family))
def test_every_packet_of_a_connection_is_rewritten(family: Family) -> None:
    costs = connection.costs(family, rounds=1)
    assert list(costs) == [segment.name for segment in connection.SEGMENTS]
    assert of_connections(family, costs)[-1].unit == "µs"


def test_the_driver_of_new_flows_begins_one_each_time(rig: Rig) -> None:
    kind = next(kind for kind in KINDS if kind.begins)
    frame = kind.make(rig.family, Device.NETWORK)
    made = driver(rig, kind, Device.NETWORK, kind.program(rig))
    before = len(list(rig.maps["flows_new"].keys()))
    made.run(frame, 10)
    assert len(list(rig.maps["flows_new"].keys())) == before + 2 * 10


def test_the_kernel_tells_what_a_program_took(rig: Rig) -> None:
    frame = bytes(64)
    with statistics():
        before = Reading.of(rig.empty)
        rig.empty.test_run(frame, 100)
        after = Reading.of(rig.empty)
    assert after.runs == before.runs + 100
    assert after.since(before) > 0
