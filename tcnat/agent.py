"""The agent: puts the parts together, in this order.

lock on the pins → servers → objects read in full → programs and maps loaded or adopted → maps written → programs
attached → the loop. So no packet meets a program whose maps are not written yet, and a start that cannot go on has
changed nothing. When the agent ends, however it ends, programs, maps and filters stay and traffic goes on.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import platform
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from types import FrameType
from typing import TYPE_CHECKING

from tcnat import datapath, health, metrics
from tcnat.cleanup import cleanup
from tcnat.config import AgentConfig
from tcnat.configured import pods_of, settings_of
from tcnat.errors import TcnatError
from tcnat.handover import Handover
from tcnat.health import Health
from tcnat.healthchecks import HealthCheckPorts
from tcnat.keeper import DeviceKeeper
from tcnat.layout import Family
from tcnat.loader import Loaded, has_lru, load
from tcnat.lock import NamespaceLock, PinsLock
from tcnat.loop import Devices, Event, Inbox, Loop
from tcnat.maps import MapStore
from tcnat.metrics import HealthCollector, MapCollector, Metrics
from tcnat.model import ServicePortName
from tcnat.nodemaps import NodeMaps
from tcnat.notes import write_news
from tcnat.objects import Object, ObjectRef
from tcnat.pace import Pace
from tcnat.patterns import Patterns
from tcnat.rights import check_rights
from tcnat.served import NoRedirector, Served
from tcnat.sizing import map_entries
from tcnat.sources import Source
from tcnat.sources.file import FileSource
from tcnat.sync import Syncer
from tcnat.upkeep import Upkeep
from tcnat.wanted import Wanted
from tcnat.web import Server

_THRESHOLDS = gc.get_threshold()
_M_ARENA_MAX = -8
"""From malloc.h; Python has no name for it."""
_MANY = 1000
"""Objects from which on a start takes long enough to hold the collector back, which costs memory."""

if TYPE_CHECKING:
    from tcnat.redirect import Redirector

log = logging.getLogger(__name__)


def run(config: AgentConfig) -> None:
    """Run until told to stop; TcnatError if it cannot start."""
    set_up_log(config.v)
    check(config)
    check_rights()
    lru = has_lru()
    log.info(datapath.describe_choice(config.datapath, platform.release(), lru=lru, cgroup2=datapath.has_cgroup2()))
    with ExitStack() as stack:
        stack.enter_context(PinsLock(config.pin_path))
        stack.enter_context(NamespaceLock())
        _Agent(config, stack).run()
    if config.cleanup_on_exit:
        for line in cleanup(config.pin_path).lines():
            log.info("cleanup: %s", line)
    else:
        log.info("ended; programs, maps and filters stay")


def check(config: AgentConfig) -> None:
    """TcnatError where there would be nothing to do; a word in the log on what has no effect."""
    if config.objects and (config.kubeconfig or config.master):
        raise TcnatError("--objects and --kubeconfig or --master exclude each other: Services come from one source")
    if not config.objects and not uses_kubernetes(config):
        raise TcnatError(
            "nothing tells of Services: give --objects FILE... or --kubeconfig FILE, or run in a pod of the cluster"
        )
    if not config.network_device and not config.workload_device:
        raise TcnatError("no device to serve: give --network-device NAME... or --workload-device PATTERN...")
    pods_of(config)
    if config.nodeport_addresses:
        log.warning("--nodeport-addresses has no effect: the tc datapath serves ClusterIPs")
    if config.without_effect:
        log.warning("of the KubeProxyConfiguration these have no effect: %s", ", ".join(config.without_effect))


def uses_kubernetes(config: AgentConfig) -> bool:
    """Whether an API server tells of Services: one that is named, or that of the cluster whose pod this is."""
    named = config.kubeconfig or config.master
    return bool(named or (not config.objects and "KUBERNETES_SERVICE_HOST" in os.environ))


def source_of(config: AgentConfig) -> Source:
    """Where the objects come from. TcnatError where that cannot be used."""
    if not uses_kubernetes(config):
        return FileSource(config.objects)
    from tcnat.sources.kubernetes.api import connect  # noqa: PLC0415  (its client takes memory)
    from tcnat.sources.kubernetes.source import KubernetesSource  # noqa: PLC0415

    api = connect(config.kubeconfig, config.master or None)
    log.info("following %s as node %s", api.server, config.hostname_override)
    return KubernetesSource(api, config.hostname_override, config.service_proxy_name)


def set_up_log(verbosity: int) -> None:
    """One line per event to stderr; from verbosity 4 on with debugging."""
    logging.basicConfig(format="%(asctime)s.%(msecs)03d %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    logging.getLogger("tcnat").setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO)


class _Agent:
    """One run: what it makes is undone by ``stack``."""

    def __init__(self, config: AgentConfig, stack: ExitStack) -> None:
        self._config = config
        self._stack = stack
        self._inbox = Inbox()
        self._metrics = Metrics()
        self._health = Health(2 * config.sync_period, time.monotonic)
        self._source = source_of(config)
        self._wanted = Wanted(config.hostname_override)
        self._syncer = Syncer(self._wanted, self._metrics, self._health, time.time, time.monotonic)

    def run(self) -> None:
        """All of it."""
        patterns = Patterns(self._config.network_device, self._config.workload_device)
        _share_one_heap()
        self._take_signals()
        self._serve()
        if not self._read_objects():
            return
        loaded = self._load()
        stores = {family: MapStore(family, found.maps) for family, found in loaded.items()}
        for store in stores.values():
            store.write_settings(settings_of(self._config))
        checks = HealthCheckPorts(self._health, time.time)
        self._stack.callback(checks.stop)
        nodes = self._node_maps(loaded)
        self._syncer.open(stores, nodes, lambda: self._after_sync(stores, checks))
        self._show(loaded, stores)
        post = self._inbox.poster(Event.DEVICES)
        handover = Handover(self._config.pin_path, loaded, lambda programs: DeviceKeeper(patterns, programs, post))
        devices = Served(handover, self._metrics, nodes, self._redirector(loaded), patterns.network)
        loop = self._loop(devices, Upkeep(loaded, stores, self._config.pin_path))
        loop.begin(time.monotonic())
        self._stack.callback(handover.keeper.stop)
        _give_memory_back()
        log.info("ready after %.2f s", _age())
        loop.run()
        log.info("ending")

    def _redirector(self, loaded: Mapping[Family, Loaded]) -> Redirector | NoRedirector:
        maps = {family: found.maps for family, found in loaded.items()}
        if not self._config.workload_device:
            return NoRedirector(maps.values())
        from tcnat.peers import PeerChoice  # noqa: PLC0415  (a pod VM does without it)
        from tcnat.redirect import RedirectChoice, Redirector  # noqa: PLC0415  (as above)

        choice, post = RedirectChoice(self._config.redirect), self._inbox.poster(Event.NEIGHBOURS)
        redirector = Redirector(choice, maps, post, time.monotonic, PeerChoice(self._config.redirect_peer))
        self._stack.callback(redirector.stop)
        return redirector

    def _node_maps(self, loaded: Mapping[Family, Loaded]) -> dict[Family, NodeMaps]:
        """Where there are workloads, backends can be on this very node."""
        pods, workloads = pods_of(self._config), bool(self._config.workload_device)
        return {family: NodeMaps(family, found.maps, pods, turn_back=workloads) for family, found in loaded.items()}

    def _after_sync(self, stores: Mapping[Family, MapStore], checks: HealthCheckPorts) -> None:
        """What others learn of a sync."""
        checks.sync(self._wanted.health_checks)
        write_news(self._config.pin_path, stores, syncer=self._syncer)

    def _take_signals(self) -> None:
        for number, event in (
            (signal.SIGTERM, Event.STOP),
            (signal.SIGINT, Event.STOP),
            (signal.SIGHUP, Event.RESYNC),
        ):
            signal.signal(number, _handler(self._inbox.poster(event)))

    def _serve(self) -> None:
        """Start the servers; what they show fills up as the agent gets on."""
        self._metrics.registry.register(HealthCollector(self._health))
        for purpose, address, routes in (
            ("healthz", self._config.healthz_bind_address, health.routes(self._health, time.time)),
            ("metrics", self._config.metrics_bind_address, metrics.routes(self._metrics.registry, datapath.TC)),
        ):
            if address is not None:
                server = Server(address, routes, purpose=purpose)
                log.info("serving %s at %s", purpose, server.start())
                self._stack.callback(server.stop)

    def _read_objects(self) -> bool:
        """Read everything once (rule 9). False if the agent was told to stop meanwhile."""
        self._source.start(self._inbox.poster(Event.OBJECTS))
        self._stack.callback(self._source.stop)
        changes: dict[ObjectRef, Object | None] = {}
        while True:
            changes.update(self._source.poll(time.monotonic()))
            if self._source.synced:
                if len(changes) >= _MANY:
                    _hold_collector_back()
                self._syncer.take(changes)
                return True
            if Event.STOP in self._inbox.take(None):
                return False

    def _load(self) -> dict[Family, Loaded]:
        """Each family's maps and programs, with room for what is wanted."""
        loaded: dict[Family, Loaded] = {}
        for family in Family:
            front_ends = (each for key, each in self._wanted.front_ends.items() if key.family == family)
            entries = map_entries(front_ends, self._config.flow_table_size)
            loaded |= load(self._config.pin_path, families=(family,), entries=entries)
        return loaded

    def _loop(self, devices: Devices, upkeep: Upkeep) -> Loop:
        return Loop(
            inbox=self._inbox,
            source=self._source,
            syncer=self._syncer,
            devices=devices,
            upkeep=upkeep,
            pace=Pace(time.monotonic(), self._config.min_sync_period, self._config.sync_period),
            health=self._health,
            metrics=self._metrics,
            clock=time.monotonic,
            wall=time.time,
        )

    def _show(self, loaded: Mapping[Family, Loaded], stores: Mapping[Family, MapStore]) -> None:
        """Let the metrics see the maps."""
        maps = {family: found.maps for family, found in loaded.items()}
        self._metrics.registry.register(MapCollector(maps, lambda: _service_names(stores), lambda: _usage(stores)))


def _handler(post: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
    return lambda _number, _frame: post()


def _service_names(stores: Mapping[Family, MapStore]) -> dict[tuple[Family, int], ServicePortName]:
    return {(family, number): name for family, store in stores.items() for number, name in store.names().items()}


def _usage(stores: Mapping[Family, MapStore]) -> dict[tuple[Family, str], tuple[int, int]]:
    return {(family, name): usage for family, store in stores.items() for name, usage in store.usage().items()}


def _age() -> float:
    """Seconds since this process started."""
    with open("/proc/self/stat") as file:
        started = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def _share_one_heap() -> None:
    """Threads of an agent hardly allocate at the same time: a heap for each (glibc's arenas) would only take memory."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _hold_collector_back() -> None:
    """A start makes millions of objects that stay, and hardly any garbage that takes a collector to be found."""
    gc.set_threshold(100_000, 50, 100)


def _give_memory_back() -> None:
    """Reading everything took more memory than keeping it does; and what is kept need not be looked through for garbage
    again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
