"""From changed objects to changed maps, with maps that are plain dicts."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

import pytest

from tcnat.bpf import BpfError
from tcnat.errors import TcnatError
from tcnat.health import Health
from tcnat.layout import Family
from tcnat.metrics import Metrics
from tcnat.model import FrontEnd, FrontEndKey
from tcnat.objects import Problem
from tcnat.plan import Unfit
from tcnat.sync import Syncer
from tcnat.wanted import Wanted

from .samples import DNS, NODE, WEB, backends, changes, node, service, slice_of

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z
BROKEN = [Problem("a.yaml", "not YAML")]


class FakeStore:
    """Front ends in a dict, of which ``room`` fit; ``fails`` makes the next writes fail."""

    def __init__(self, *present: FrontEndKey, room: int = 10_000) -> None:
        self.kernel: dict[FrontEndKey, FrontEnd | None] = dict.fromkeys(present)
        self.unfit: dict[FrontEndKey, Unfit] = {}
        self.room = room
        self.fails = 0
        self.calls: list[str] = []

    def read(self) -> None:
        self.calls.append("read")

    def sync(self, changed: Mapping[FrontEndKey, FrontEnd | None]) -> int:
        self.calls.append("sync")
        if self.fails:
            self.fails -= 1
            raise BpfError("map slots: update: No space", 28)
        for key, front_end in changed.items():
            self.unfit.pop(key, None)
            if front_end is None:
                self.kernel.pop(key, None)
            elif key in self.kernel or len(self.kernel) < self.room:
                self.kernel[key] = front_end
            else:
                self.unfit[key] = Unfit(front_end, "services", self.room)
        return len(changed)

    def resync(self, wanted: Mapping[FrontEndKey, FrontEnd]) -> int:
        self.calls.append("resync")
        return self.sync({**dict.fromkeys(self.kernel), **wanted})


class FakeNode:
    """Keeps what it was told last."""

    def __init__(self) -> None:
        self.told: set[bytes] = set()

    def write(self, local: Collection[bytes]) -> int:
        self.told = set(local)
        return 0


class Bench:
    """A syncer over a fake store, with a clock that the test moves."""

    def __init__(self, store: FakeStore) -> None:
        self.now = START
        self.store = store
        self.node = FakeNode()
        self.metrics = Metrics()
        self.health = Health(60, lambda: self.now)
        self.syncer = Syncer(Wanted(NODE), self.metrics, self.health, lambda: self.now, lambda: self.now)
        self.syncer.open({Family.IPV4: store}, {Family.IPV4: self.node})

    def apply(self, *objects, gone=(), problems=()) -> bool:
        self.syncer.take(changes(*objects, gone=gone))
        return self.syncer.sync(problems)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def bench() -> Bench:
    return Bench(FakeStore())


WEB_OBJECTS = (service("web"), slice_of("web", "10.0.0.1"))
DNS_OBJECTS = (service("dns", "10.96.0.2"), slice_of("dns", "10.0.0.2"))


def test_the_first_sync_reads_the_maps_and_removes_what_nobody_wants() -> None:
    bench = Bench(FakeStore(WEB, DNS))
    assert bench.apply(*WEB_OBJECTS)
    assert bench.store.calls == ["read", "resync", "sync"]
    assert set(bench.store.kernel) == {WEB}


def test_later_syncs_write_only_what_changed(bench: Bench) -> None:
    bench.apply(*WEB_OBJECTS, *DNS_OBJECTS)
    bench.store.calls.clear()
    bench.apply(slice_of("web", "10.0.0.1", "10.0.0.9"))
    assert bench.store.calls == ["sync"]
    assert bench.store.kernel[WEB].backends == backends("10.0.0.1", "10.0.0.9")
    bench.store.calls.clear()
    bench.apply()
    assert bench.store.calls == []


def test_with_broken_objects_at_the_start_nothing_is_removed_until_they_are_mended() -> None:
    bench = Bench(FakeStore(WEB, DNS))
    bench.apply(*WEB_OBJECTS, problems=BROKEN)
    assert set(bench.store.kernel) == {WEB, DNS}
    bench.apply(gone=(WEB_OBJECTS[0],), problems=BROKEN)
    assert set(bench.store.kernel) == {DNS}
    bench.apply(problems=[])
    assert set(bench.store.kernel) == set()


def test_objects_that_break_later_hold_up_no_removal(bench: Bench) -> None:
    bench.apply(*WEB_OBJECTS, *DNS_OBJECTS)
    bench.apply(gone=(WEB_OBJECTS[0],), problems=BROKEN)
    assert set(bench.store.kernel) == {DNS}


def test_a_failed_sync_is_told_once_and_made_up_for_from_what_the_maps_hold(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.apply(*WEB_OBJECTS)
    bench.store.fails = 2
    assert not bench.apply(*DNS_OBJECTS)
    assert not bench.syncer.sync([])
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "sync failed: map slots: update: No space; it is tried again"
    ]
    assert bench.metric("tcnat_sync_failures_total") == 2
    bench.store.calls.clear()
    assert bench.syncer.sync([])
    assert bench.store.calls == ["read", "resync", "sync"]
    assert set(bench.store.kernel) == {WEB, DNS}


def test_a_failed_sync_forgets_no_removal_while_objects_are_broken(bench: Bench) -> None:
    bench.apply(*WEB_OBJECTS, *DNS_OBJECTS)
    bench.store.fails = 1
    assert not bench.apply(gone=(WEB_OBJECTS[0],), problems=BROKEN)
    assert bench.syncer.sync(BROKEN)
    assert set(bench.store.kernel) == {DNS}


def test_front_ends_without_room_are_named_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(FakeStore(room=1))
    assert bench.apply(*WEB_OBJECTS, *DNS_OBJECTS)
    assert "no room front_end=10.96.0.2:80/TCP service=default/dns map=services entries=1" in caplog.text
    assert bench.metric("tcnat_front_ends_unfit", map="services") == 1
    caplog.clear()
    bench.apply(slice_of("web", "10.0.0.7"))
    assert "no room" not in caplog.text
    bench.apply(gone=DNS_OBJECTS)
    assert "room again front_end=10.96.0.2:80/TCP" in caplog.text
    assert bench.metric("tcnat_front_ends_unfit", map="services") == 0


def test_hundreds_without_room_are_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(FakeStore(room=0))
    bench.apply(*(service(f"s{number}", port=number) for number in range(1, 301)))
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 11
    assert "and 290 more" in caplog.text
    assert bench.metric("tcnat_front_ends_unfit", map="services") == 300


def test_the_metrics_tell_of_the_sync(bench: Bench) -> None:
    bench.now = START + 5
    bench.apply(*WEB_OBJECTS, problems=BROKEN)
    assert bench.metric("tcnat_object_errors") == 1
    assert bench.metric("tcnat_front_ends") == 1
    assert bench.metric("kubeproxy_sync_proxy_rules_service_changes_total") == 1
    assert bench.metric("kubeproxy_sync_proxy_rules_endpoint_changes_total") == 1
    assert bench.metric("kubeproxy_sync_proxy_rules_last_timestamp_seconds") == START + 5
    assert bench.metric("kubeproxy_sync_proxy_rules_duration_seconds_count") == 1


def test_how_long_a_sync_took_is_told_by_the_clock_that_nobody_sets() -> None:
    wall, steady = iter(range(1000, 0, -10)), iter(range(0, 1000, 2))
    metrics = Metrics()
    health = Health(60, lambda: 0.0)
    syncer = Syncer(Wanted(NODE), metrics, health, lambda: float(next(wall)), lambda: float(next(steady)))
    syncer.open({Family.IPV4: FakeStore()}, {Family.IPV4: FakeNode()})
    syncer.take(changes(*WEB_OBJECTS))
    syncer.sync(())
    assert metrics.registry.get_sample_value("kubeproxy_sync_proxy_rules_duration_seconds_sum") == 2


def test_the_latency_of_a_change_counts_from_its_trigger_time_and_not_from_before_the_start(bench: Bench) -> None:
    bench.now = START + 10
    bench.apply(
        service("web"),
        slice_of("web", "10.0.0.1", name="new", trigger="2026-01-01T00:00:07.5Z"),
        slice_of("web", "10.0.0.2", name="old", trigger="2025-12-31T23:59:59Z"),
        slice_of("web", "10.0.0.3", name="odd", trigger="yesterday"),
    )
    assert bench.metric("kubeproxy_network_programming_duration_seconds_count") == 1
    assert bench.metric("kubeproxy_network_programming_duration_seconds_sum") == pytest.approx(2.5)


def test_a_local_policy_without_local_endpoint_is_counted(bench: Bench) -> None:
    bench.apply(service("web", internalTrafficPolicy="Local"), slice_of("web", "10.0.0.1", nodeName="elsewhere"))
    name = "kubeproxy_sync_proxy_rules_no_local_endpoints_total"
    assert bench.metric(name, traffic_policy="internal") == 1
    bench.apply(slice_of("web", "10.0.0.1", nodeName=NODE))
    assert bench.metric(name, traffic_policy="internal") == 0


def test_what_is_not_served_is_told_once_for_each_service_and_counted(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.apply(service("web", externalIPs=["192.0.2.1", "192.0.2.2"]), slice_of("web", "10.0.0.1"))
    [line] = [record.getMessage() for record in caplog.records if "not served" in record.getMessage()]
    assert line == "not served service=default/web externalIP 192.0.2.1:80/TCP, externalIP 192.0.2.2:80/TCP"
    assert bench.metric("tcnat_front_ends_unserved", kind="externalIP") == 2
    assert bench.syncer.news
    bench.syncer.news = False
    caplog.clear()
    bench.apply(slice_of("web", "10.0.0.2"))
    assert "not served" not in caplog.text
    assert not bench.syncer.news
    bench.apply(service("web"))
    assert bench.metric("tcnat_front_ends_unserved", kind="externalIP") == 0


def test_two_services_with_one_cluster_ip_are_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.apply(*WEB_OBJECTS, service("other"))
    expected = "front_end=10.96.0.1:80/TCP is claimed by default/other, default/web; default/other gets it"
    assert expected in caplog.text


def test_notes_are_written_behind_each_sync_and_a_failure_there_is_told_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    noted: list[set[FrontEndKey]] = []

    def note() -> None:
        noted.append(set(bench.store.kernel))
        if len(noted) < 3:
            raise TcnatError("/run/tcnat/x.json cannot be written: Read-only file system")

    bench.syncer.open({Family.IPV4: bench.store}, {Family.IPV4: bench.node}, note)
    assert bench.apply(*WEB_OBJECTS)
    assert bench.apply(*DNS_OBJECTS)
    assert bench.apply()
    assert noted == [{WEB}, {WEB, DNS}, {WEB, DNS}]
    assert caplog.text.count("cannot be written: Read-only file system") == 1


def test_a_node_that_leaves_is_not_eligible(bench: Bench) -> None:
    bench.apply(node(NODE, "zone", spec={"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}))
    assert not bench.health.node_eligible
    bench.apply(node(NODE, "zone"))
    assert bench.health.node_eligible


def test_what_is_local_is_told_before_front_ends_are_written(bench: Bench) -> None:
    bench.store.fails = 1
    here = slice_of("web", "10.0.0.1", "10.0.0.9", nodeName=NODE)
    elsewhere = slice_of("dns", "10.0.0.2", nodeName="another")
    bench.apply(service("web"), here, service("dns", "10.96.0.2"), elsewhere)
    assert bench.node.told == {bytes((10, 0, 0, 1)), bytes((10, 0, 0, 9))}
    bench.apply(gone=(here,))
    assert bench.node.told == set()
