"""What the packet programs know of the node: where its backends and pods are, and its devices' addresses.

All of it is for packets that come to the programs at a device that faces the network, above all those of the node's own
processes: docs/datapath.md, "Source".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from tcnat.bpf import Map
from tcnat.layout import PODS, Family, Masquerade, number_bytes
from tcnat.mapset import MapSet
from tcnat.model import Network, parse_network

_NO_ROOM = "this node's own processes do not reach all Services"


@dataclass(frozen=True, slots=True)
class Pods:
    """What is known of the cluster's pods: their networks (at most one of each family), and rule 26's switch."""

    networks: tuple[Network, ...] = ()
    masquerade_all: bool = False

    @classmethod
    def of(cls, cluster_cidrs: Iterable[str], *, masquerade_all: bool) -> Pods:
        """From the settings; ValueError where two networks are of one family."""
        networks = tuple(map(parse_network, cluster_cidrs))
        for size, name in ((4, "IPv4"), (16, "IPv6")):
            if sum(len(network.address) == size for network in networks) > 1:
                raise ValueError(f"two {name} networks; give one of each family, which holds all pods")
        return cls(networks, masquerade_all)

    def packed(self, family: Family, *, overlay: bool) -> bytes:
        """The entry of the pods map. ``overlay``: the way to pods is another than that to front ends."""
        size = family.address_size
        known = next((network for network in self.networks if len(network.address) == size), None)
        network = known or Network(bytes(size), 0)
        ones = (1 << 8 * size) - 1
        mask = (ones ^ ones >> network.prefix).to_bytes(size, "big")
        masquerade = Masquerade.OUTSIDE if known else Masquerade.NONE
        if self.masquerade_all:
            masquerade = Masquerade.ALL
        return PODS.codec(family).pack(network.address, mask, masquerade, overlay and known is not None)


class NodeMaps:
    """One family's maps of that kind. Nobody else writes them."""

    def __init__(self, family: Family, maps: Mapping[str, Map], pods: Pods, *, turn_back: bool) -> None:
        """``turn_back``: whether there are workloads; if not, no backend is on this node."""
        self._family = family
        self._pods = pods
        self._turn_back = turn_back
        self._entry = maps["pods"]
        self._local = MapSet(maps["local_addresses"], _NO_ROOM)
        self._devices = MapSet(maps["device_addresses"], _NO_ROOM)

    def write(self, local: Collection[bytes], /) -> int:
        """Bring the map in step with the addresses of backends on the node; of both families' each takes its own.
        Returns how many entries were written and removed; BpfError where the kernel fails."""
        here = (each for each in local if self._turn_back and len(each) == self._family.address_size)
        return self._local.become(dict.fromkeys(here, number_bytes(1)))

    def write_devices(self, addresses: Mapping[int, bytes], *, overlay: bool) -> int:
        """Bring the maps in step with the addresses (of this family) of the devices that face the network, by index.
        ``overlay``: one of these is an overlay's. Returns as :meth:`write`."""
        wanted = {number_bytes(index): address for index, address in addresses.items()}
        entry = self._pods.packed(self._family, overlay=overlay)
        changed = self._entry.lookup(bytes(4)) != entry
        if changed:
            self._entry.update(bytes(4), entry)
        return changed + self._devices.become(wanted)
