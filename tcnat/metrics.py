"""What Prometheus scrapes: kube-proxy's names where dashboards know them (rule 35), and tcnat's own.

The agent's thread sets what it knows. The packet programs' counters are read from the maps by :class:`MapCollector`
when they are scraped, without asking that thread. Labels are few: reasons and maps are fixed lists, and Services have
series of their own only as long as there are at most ``SERVICES_WITH_SERIES`` of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice

from tcnat import __version__
from tcnat.bpf import Map
from tcnat.counts import read_count, read_service_count
from tcnat.health import Health
from tcnat.layout import Family
from tcnat.lean import without_running
from tcnat.model import ServicePortName
from tcnat.objects import ObjectRef
from tcnat.reasons import reasons
from tcnat.web import Answer, Route

with without_running("prometheus_client"):  # its package starts with servers and clients of its own
    from prometheus_client.metrics import Counter, Gauge, Histogram
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.process_collector import ProcessCollector
    from prometheus_client.registry import Collector, CollectorRegistry

SERVICES_WITH_SERIES = 200
SYNC_BUCKETS = tuple(0.001 * 2**power for power in range(15))
PROGRAMMING_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
"""Seconds."""
COUNTED = ("flows", "flows_new", "affinity", "fragments")
"""Maps that only packets fill: their entries are counted when asked for."""


class Metrics:
    """What the agent's thread tells. Each attribute is a metric of the name that stands with it."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        sync = "kubeproxy_sync_proxy_rules"
        self.sync_seconds = Histogram(
            f"{sync}_duration_seconds", "Time that a sync took.", buckets=SYNC_BUCKETS, registry=registry
        )
        self.programming_seconds = Histogram(
            "kubeproxy_network_programming_duration_seconds",
            "Time from a change of endpoints, as its slice tells it, to its being in the maps.",
            buckets=PROGRAMMING_BUCKETS,
            registry=registry,
        )
        self.last_sync = Gauge(f"{sync}_last_timestamp_seconds", "When the last sync ended.", registry=registry)
        self.last_queued = Gauge(
            f"{sync}_last_queued_timestamp_seconds", "When a sync was last asked for.", registry=registry
        )
        self.slices_changed = Counter(f"{sync}_endpoint_changes", "Changed endpoint slices.", registry=registry)
        self.services_changed = Counter(f"{sync}_service_changes", "Changed Services.", registry=registry)
        self.no_local_endpoints = Gauge(
            f"{sync}_no_local_endpoints_total",
            "Front ends with a Local policy and no endpoint on this node.",
            ["traffic_policy"],
            registry=registry,
        )
        self._slices_pending = Gauge(
            f"{sync}_endpoint_changes_pending",
            "Changed endpoint slices that are not in the maps yet.",
            registry=registry,
        )
        self._services_pending = Gauge(
            f"{sync}_service_changes_pending", "Changed Services that are not in the maps yet.", registry=registry
        )
        self.sync_failures = Counter("tcnat_sync_failures", "Syncs that failed and are tried again.", registry=registry)
        self.object_errors = Gauge("tcnat_object_errors", "Objects and files that cannot be used.", registry=registry)
        self.front_ends = Gauge("tcnat_front_ends", "Front ends that are wanted.", registry=registry)
        self.unfit = Gauge(
            "tcnat_front_ends_unfit", "Front ends that a map has no room for.", ["map"], registry=registry
        )
        self.unserved = Gauge(
            "tcnat_front_ends_unserved",
            "Front ends of kinds that the datapath does not serve.",
            ["kind"],
            registry=registry,
        )
        self.devices = Gauge("tcnat_devices", "Devices that carry the programs.", ["role"], registry=registry)
        self.filters_restored = Counter(
            "tcnat_filters_restored", "Filters that others had removed, and that were put back.", registry=registry
        )
        self.set_pending(())
        Gauge("tcnat_build_info", "The version of tcnat.", ["version"], registry=registry).labels(__version__).set(1)

    def set_pending(self, changed: Collection[ObjectRef]) -> None:
        """These objects changed and are not in the maps yet."""
        services = sum(ref.kind == "Service" for ref in changed)
        self._services_pending.set(services)
        self._slices_pending.set(sum(ref.kind != "Node" for ref in changed) - services)


class MapCollector(Collector):
    """The counters of the packet programs, and how full the maps are, as they are when asked."""

    def __init__(
        self,
        maps: Mapping[Family, Mapping[str, Map]],
        names: Callable[[], Mapping[tuple[Family, int], ServicePortName]],
        usage: Callable[[], Mapping[tuple[Family, str], tuple[int, int]]],
    ) -> None:
        """``names``: the service port of each service id. ``usage``: entries and capacity of the other maps. Both are
        called from the server's threads."""
        self._lock = threading.Lock()  # a Map is for one thread at a time
        self._counters = {family: found["counters"].duplicate() for family, found in maps.items()}
        self._service_counters = {family: found["service_counters"].duplicate() for family, found in maps.items()}
        self._counted = [
            (family, found[name].duplicate()) for family, found in maps.items() for name in COUNTED if name in found
        ]
        self._names = names
        self._usage = usage

    def collect(self) -> Iterator[Metric]:
        """Prometheus' hook."""
        with self._lock:
            yield from self._reasons()
            yield from self._services()
            yield from self._fill()

    def _reasons(self) -> Iterator[Metric]:
        labels = ["family", "verdict", "reason"]
        packets = CounterMetricFamily("tcnat_packets", "Packets by what became of them.", labels=labels)
        octets = CounterMetricFamily("tcnat_bytes", "Bytes by what became of their packets.", labels=labels)
        for family, counters in self._counters.items():
            for reason in reasons():
                count = read_count(counters, reason.number)
                row = [family.name.lower(), reason.verdict, reason.name]
                packets.add_metric(row, count.packets)
                octets.add_metric(row, count.bytes)
        yield packets
        yield octets

    def _services(self) -> Iterator[Metric]:
        labels = ["family", "namespace", "service", "port", "protocol"]
        packets = CounterMetricFamily("tcnat_service_packets", "A Service's packets.", labels=[*labels, "direction"])
        octets = CounterMetricFamily("tcnat_service_bytes", "A Service's bytes.", labels=[*labels, "direction"])
        flows = CounterMetricFamily("tcnat_service_flows", "Flows that a Service was given.", labels=labels)
        names = self._names()
        omitted = len(names) > SERVICES_WITH_SERIES
        for (family, number), name in () if omitted else sorted(names.items()):
            count = read_service_count(self._service_counters[family], number)
            row = [family.name.lower(), name.namespace, name.name, name.port, name.protocol.name]
            packets.add_metric([*row, "forward"], count.forward_packets)
            packets.add_metric([*row, "reply"], count.reply_packets)
            octets.add_metric([*row, "forward"], count.forward_bytes)
            octets.add_metric([*row, "reply"], count.reply_bytes)
            flows.add_metric(row, count.flows)
        yield packets
        yield octets
        yield flows
        yield GaugeMetricFamily(
            "tcnat_services_without_series",
            f"Service ports without series of their own, because there are more than {SERVICES_WITH_SERIES}.",
            value=len(names) if omitted else 0,
        )

    def _fill(self) -> Iterator[Metric]:
        labels = ["family", "map"]
        entries = GaugeMetricFamily("tcnat_map_entries", "Entries in use.", labels=labels)
        capacity = GaugeMetricFamily("tcnat_map_capacity", "Entries that there is room for.", labels=labels)
        counted = {(family, each.name): (_count(each), each.max_entries) for family, each in self._counted}
        for (family, name), (used, room) in sorted({**counted, **self._usage()}.items()):
            entries.add_metric([family.name.lower(), name], used)
            capacity.add_metric([family.name.lower(), name], room)
        yield entries
        yield capacity


class HealthCollector(Collector):
    """How often /healthz and /livez answered what."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """Prometheus' hook."""
        for endpoint in ("healthz", "livez"):
            family = CounterMetricFamily(
                f"kubeproxy_proxy_{endpoint}", f"Answers of /{endpoint} by status.", labels=["code"]
            )
            for (answered, status), count in sorted(self._health.answered.copy().items()):
                if answered == endpoint:
                    family.add_metric([str(int(status))], count)
            yield family


def routes(registry: CollectorRegistry, mode: str) -> dict[str, Route]:
    """/metrics, and /proxyMode (rule 34), which answers ``mode``."""

    def metrics(accept: str) -> Answer:
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415  (an agent that nobody scrapes does without)

        encode, content_type = choose_encoder(accept)
        return Answer(200, encode(registry), content_type)

    return {"/metrics": metrics, "/proxyMode": lambda _accept: Answer(200, mode.encode())}


def _count(counted: Map) -> int:
    """The entries of a hash map; packets may change it meanwhile, so never more than it has room for."""
    return sum(1 for _ in islice(counted.items(), counted.max_entries))
