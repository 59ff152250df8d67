"""What Prometheus scrapes, read with its own parser over real HTTP."""

from __future__ import annotations

import struct
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tcnat.bpf import Map, possible_cpus
from tcnat.health import Health
from tcnat.layout import MAPS, Family
from tcnat.metrics import SERVICES_WITH_SERIES, HealthCollector, MapCollector, Metrics, routes
from tcnat.model import Protocol, ServicePortName
from tcnat.reasons import reasons
from tcnat.values import Address
from tcnat.web import Server

WEB = ServicePortName("default", "web", "http", Protocol.TCP)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def url(metrics: Metrics) -> Iterator[str]:
    server = Server(Address("127.0.0.1", 0), routes(metrics.registry, "tc"), purpose="metrics")
    yield f"http://{server.start()}"
    server.stop()


def scrape(url: str) -> Samples:
    """Every sample by name and labels."""
    text = urllib.request.urlopen(url + "/metrics", timeout=5).read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_proxy_mode_is_told(url: str) -> None:
    assert urllib.request.urlopen(url + "/proxyMode", timeout=5).read() == b"tc"


def test_the_names_that_dashboards_know_are_there(url: str, metrics: Metrics) -> None:
    health = Health(60, lambda: 0)
    metrics.registry.register(HealthCollector(health))
    health.count("healthz", 200)
    health.count("livez", 503)
    metrics.no_local_endpoints.labels("internal").set(0)
    sync = "kubeproxy_sync_proxy_rules"
    samples = scrape(url)
    names = {name for name, _ in samples}
    assert {
        f"{sync}_duration_seconds_bucket",
        "kubeproxy_network_programming_duration_seconds_bucket",
        f"{sync}_last_timestamp_seconds",
        f"{sync}_last_queued_timestamp_seconds",
        f"{sync}_endpoint_changes_pending",
        f"{sync}_endpoint_changes_total",
        f"{sync}_service_changes_pending",
        f"{sync}_service_changes_total",
        f"{sync}_no_local_endpoints_total",
        "process_resident_memory_bytes",
        "tcnat_build_info",
    } <= names
    assert samples["kubeproxy_proxy_healthz_total", (("code", "200"),)] == 1
    assert samples["kubeproxy_proxy_livez_total", (("code", "503"),)] == 1


class Counters:
    """One family's counters maps in the kernel."""

    def __init__(self, family: Family) -> None:
        self.maps = {
            name: Map.create(layout.type, layout.key_size(family), layout.value_size(family), 64, name=name)
            for name, layout in MAPS.items()
            if name in {"counters", "service_counters", "flows"}
        }

    def write(self, name: str, index: int, *each_cpu: tuple[int, ...]) -> None:
        """Give an entry a value for each CPU in turn; CPUs without one get zeros."""
        width = len(each_cpu[0])
        values = [*each_cpu, *[(0,) * width] * (possible_cpus() - len(each_cpu))]
        self.maps[name].update(struct.pack("=I", index), b"".join(struct.pack(f"={width}Q", *row) for row in values))


@pytest.mark.root
def test_counters_are_summed_over_the_cpus_when_scraped(url: str, metrics: Metrics) -> None:
    counters = Counters(Family.IPV4)
    usage = {(Family.IPV4, "services"): (3, 100)}
    collector = MapCollector({Family.IPV4: counters.maps}, lambda: {(Family.IPV4, 7): WEB}, lambda: usage)
    metrics.registry.register(collector)
    forwarded = next(reason for reason in reasons() if reason.name == "forwarded")
    if possible_cpus() > 1:
        counters.write("counters", forwarded.number, (1, 100), (2, 50))
        counters.write("service_counters", 7, (1, 2, 3, 4, 5), (10, 20, 30, 40, 50))
    else:
        counters.write("counters", forwarded.number, (3, 150))
        counters.write("service_counters", 7, (11, 22, 33, 44, 55))
    samples = scrape(url)
    row = (("family", "ipv4"), ("reason", "forwarded"), ("verdict", "rewrite"))
    assert samples["tcnat_packets_total", row] == 3
    assert samples["tcnat_bytes_total", row] == 150
    of_web = (("family", "ipv4"), ("namespace", "default"), ("port", "http"), ("protocol", "TCP"), ("service", "web"))
    forward, reply = (tuple(sorted((*of_web, ("direction", word)))) for word in ("forward", "reply"))
    assert samples["tcnat_service_packets_total", forward] == 11
    assert samples["tcnat_service_bytes_total", forward] == 22
    assert samples["tcnat_service_packets_total", reply] == 33
    assert samples["tcnat_service_bytes_total", reply] == 44
    assert samples["tcnat_service_flows_total", of_web] == 55
    assert samples["tcnat_map_entries", (("family", "ipv4"), ("map", "services"))] == 3
    assert samples["tcnat_map_capacity", (("family", "ipv4"), ("map", "services"))] == 100
    assert samples["tcnat_map_entries", (("family", "ipv4"), ("map", "flows"))] == 0
    assert samples["tcnat_map_capacity", (("family", "ipv4"), ("map", "flows"))] == 64
    flows = counters.maps["flows"]
    for number in range(3):
        flows.update(bytes([number]) * flows.key_size, bytes(flows.value_size))
    assert scrape(url)["tcnat_map_entries", (("family", "ipv4"), ("map", "flows"))] == 3
    counters.write("counters", forwarded.number, (9, 900))
    assert scrape(url)["tcnat_packets_total", row] == 9


@pytest.mark.root
def test_every_reason_has_a_series_from_the_start(url: str, metrics: Metrics) -> None:
    counters = Counters(Family.IPV6)
    metrics.registry.register(MapCollector({Family.IPV6: counters.maps}, dict, dict))
    told = {dict(labels)["reason"] for name, labels in scrape(url) if name == "tcnat_packets_total"}
    assert told == {reason.name for reason in reasons()}


@pytest.mark.root
@pytest.mark.parametrize(("services", "omitted"), [(SERVICES_WITH_SERIES, 0), (5000, 5000)])
def test_thousands_of_services_get_no_series(url: str, metrics: Metrics, services: int, omitted: int) -> None:
    names = {(Family.IPV4, number): WEB._replace(name=f"s{number}") for number in range(services)}
    metrics.registry.register(MapCollector({Family.IPV4: Counters(Family.IPV4).maps}, lambda: names, dict))
    samples = scrape(url)
    assert samples["tcnat_services_without_series", ()] == omitted
    assert sum(name == "tcnat_service_flows_total" for name, _ in samples) == services - omitted
