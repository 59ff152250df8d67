"""Holding what leaves against a golden capture."""

from __future__ import annotations

import io
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from tcnat.replay.capture import Capture, Packet, Source
from tcnat.replay.compare import Comparison, Difference, Kind, Result
from tcnat.replay.fate import Fate
from tcnat.replay.formats import read_capture
from tests.captures.files import Shot, pcap
from tests.unit.replay_fates import dropped, forwarded, packet, passed


def golden(packets: Iterable[Packet]) -> Capture:
    shots = [Shot(p.time, p.data, p.length) for p in packets]
    return read_capture(Source("golden", io.BufferedReader(io.BytesIO(pcap(shots, nano=True)))))


def compare(fates: Iterable[Fate], expected: Iterable[Packet], limit: int = 100) -> Result:
    comparison = Comparison(golden(expected), limit)
    for fate in fates:
        comparison.put(fate)
    return comparison.result()


def told(result: Result) -> list[tuple[str, int | None, int | None]]:
    def numbers(difference: Difference) -> tuple[str, int | None, int | None]:
        kind, fate, expected = difference
        return kind.name, fate and fate.packet.number, expected and expected.number

    return [numbers(difference) for difference in result.first]


PACKETS = [packet(n, b"packet %d" % n) for n in range(1, 101)]
SAME_TIME = [packet(n, b"packet %d" % n, time=0) for n in range(1, 101)]


def test_equal_streams_have_no_difference() -> None:
    result = compare(map(passed, PACKETS), PACKETS)
    assert (result.equal, result.differences) == (100, 0)


def test_one_changed_packet_is_one_difference() -> None:
    fates = [forwarded(p, b"other") if p.number == 50 else passed(p) for p in PACKETS]
    result = compare(fates, PACKETS)
    assert told(result) == [("CHANGED", 50, 50)]
    assert result.equal == 99


def test_one_packet_too_many_is_one_difference() -> None:
    for packets in (PACKETS, SAME_TIME):
        assert told(compare(map(passed, packets), [p for p in packets if p.number != 50])) == [("EXTRA", 50, None)]


def test_one_packet_too_few_is_one_difference() -> None:
    for packets in (PACKETS, SAME_TIME):
        fates = [passed(p) for p in packets if p.number != 50]
        assert told(compare(fates, packets)) == [("MISSING", None, 50)]


def test_a_dropped_packet_is_missing_and_its_fate_is_known() -> None:
    fates = [dropped(p) if p.number == 50 else passed(p) for p in PACKETS]
    result = compare(fates, PACKETS)
    assert told(result) == [("MISSING", 50, 50)]
    assert result.first[0].fate is not None
    assert result.first[0].fate.reason.name == "no_local_endpoint"


def test_drops_that_are_expected_are_no_difference() -> None:
    fates = [dropped(p) if p.number == 50 else passed(p) for p in PACKETS]
    assert compare(fates, [p for p in PACKETS if p.number != 50]).differences == 0


def test_everything_changed_with_one_missing_is_not_a_cascade_of_wrong_pairs() -> None:
    fates = [forwarded(p, b"other %d" % p.number) for p in PACKETS if p.number != 50]
    result = compare(fates, PACKETS)
    pairs = [("CHANGED", n, n) if n != 50 else ("MISSING", None, 50) for n in range(1, 101)]
    assert told(result) == pairs


def test_time_stamps_are_not_compared() -> None:
    later = [p._replace(time=p.time + 3_600_000_000_000) for p in PACKETS]
    assert compare(map(passed, PACKETS), later).differences == 0
    fates = [passed(p) for p in PACKETS if p.number != 50]
    assert told(compare(fates, later)) == [("MISSING", None, 50)]


def test_more_missing_at_once_than_the_window_is_told_all_the_same() -> None:
    result = compare([passed(p) for p in PACKETS if not 20 <= p.number < 80], PACKETS)
    assert result.counts[Kind.MISSING] - result.counts[Kind.EXTRA] == 60


def test_an_empty_golden_capture_expects_nothing_and_an_empty_replay_misses_all() -> None:
    assert compare(map(passed, PACKETS), []).counts[Kind.EXTRA] == 100
    assert compare([], PACKETS).counts[Kind.MISSING] == 100


def test_only_the_first_differences_are_kept_but_all_are_counted() -> None:
    result = compare([forwarded(p, b"other") for p in PACKETS], PACKETS, limit=3)
    assert (len(result.first), result.differences) == (3, 100)


def test_the_length_on_the_wire_counts() -> None:
    assert told(compare([passed(packet(1, b"ab", length=7))], [packet(1, b"ab", length=8)])) == [("CHANGED", 1, 1)]


@given(st.lists(st.integers(0, 5), max_size=80), st.lists(st.integers(0, 5), max_size=80), st.booleans())
def test_every_packet_of_both_streams_is_told_of_once(ours: list[int], theirs: list[int], same_time: bool) -> None:
    def packets(contents: list[int]) -> list[Packet]:
        return [packet(n, bytes((c,)), time=0 if same_time else None) for n, c in enumerate(contents, 1)]

    result = compare(map(passed, packets(ours)), packets(theirs), limit=1000)
    changed, extra, missing = (result.counts[kind] for kind in (Kind.CHANGED, Kind.EXTRA, Kind.MISSING))
    assert result.equal + changed + extra == len(ours)
    assert result.equal + changed + missing == len(theirs)
    assert (result.differences == 0) == (ours == theirs)
    numbers = [expected.number for _, _, expected in result.first if expected]
    assert numbers == sorted(numbers)
