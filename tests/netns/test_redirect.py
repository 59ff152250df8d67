"""Packets from pod to pod of one node that are handed on past its stack, as far as the node's policy allows it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tcnat.layout import Family, Way
from tcnat.loader import open_pinned
from tcnat.model import format_address, parse_address
from tcnat.neighbours import way_in
from tcnat.netfilter import hooked
from tcnat.netns import entered
from tcnat.peers import PeerChoice, hindrance
from tests.lab.agent import Agent
from tests.lab.cluster import Cluster, cluster
from tests.lab.cni import CNIS
from tests.lab.commands import wait_until
from tests.lab.nodes import Node, Nodes, Pod
from tests.lab.objects import Service
from tests.lab.site import Host

FORWARDED = {Family.IPV4: "IpForwDatagrams", Family.IPV6: "Ip6OutForwDatagrams"}
"""The kernel's own counts of packets that it has forwarded."""


@dataclass(frozen=True, slots=True)
class Stand:
    """A node with a client and a backend on it."""

    cluster: Cluster
    node: Node
    client: Pod
    backend: Pod
    service: Service

    @property
    def agent(self) -> Agent:
        """The node's."""
        return self.cluster.agents[0]

    def talk(self, family: Family) -> None:
        """Some data there and back, in a connection of its own, and a datagram."""
        data = os.urandom(50_000)
        with self.cluster.tcp(self.client, self.service, family) as connection:
            assert connection.server == self.backend.role
            assert connection.echo(data) == data
        with self.cluster.udp(self.client, self.service, family) as flow:
            assert flow.ask(b"and in short?") == self.backend.role

    def through_the_stack(self, family: Family) -> int:
        """How many packets the node's stack forwards for such a talk."""
        before = self._forwarded(family)
        self.talk(family)
        return self._forwarded(family) - before

    def by_the_device(self, family: Family) -> int:
        """How many packets the node's end of the backend's pair transmits for such a talk."""
        before = counted(self.node, self.backend.device)["tx"]
        self.talk(family)
        return counted(self.node, self.backend.device)["tx"] - before

    def _forwarded(self, family: Family) -> int:
        said = self.node.run("nstat", "-asz", FORWARDED[family])
        return int(next(line.split()[1] for line in said.splitlines() if FORWARDED[family] in line))

    def reached(self, family: Family) -> set[str]:
        """The addresses that the programs hand packets to."""
        packed = open_pinned(self.agent.lab.pins)[family].maps["neighbours"].keys()
        return set(map(format_address, packed))

    def way_to_backend(self, family: Family) -> Way:
        """How the programs are told to hand packets to the backend."""
        packed = parse_address(self.backend.addresses.of(family))
        entry = open_pinned(self.agent.lab.pins)[family].maps["neighbours"].lookup(packed)
        assert entry
        return way_in(entry)

    def until(self, family: Family) -> int:
        """The second up to which they may."""
        value = open_pinned(self.agent.lab.pins)[family].maps["redirect_until"].lookup(bytes(4))
        return int.from_bytes(value or b"", sys.byteorder)

    def settle(self, family: Family) -> None:
        """Have both pods known to the kernel, and wait until the programs hand packets on to them."""
        self.talk(family)
        both = {pod.addresses.of(family) for pod in (self.client, self.backend)}
        wait_until(lambda: both <= self.reached(family), "the pods to be among the neighbours")

    def look_anew(self, family: Family, *, allowed: bool) -> None:
        """Have the agent look at the node's policy again, and wait for what it then allows."""
        os.kill(self.agent.program.pid, signal.SIGHUP)
        wait_until(lambda: (self.until(family) > 0) is allowed, f"packets to be handed on: {allowed}")


def counted(host: Host, device: str) -> dict[str, int]:
    """What the kernel has counted of a device, in packets."""
    (told,) = json.loads(host.run("ip", "-s", "-j", "link", "show", "dev", device))
    return {way: int(told["stats64"][way]["packets"]) for way in ("rx", "tx")}


def stand_with(*options: str, cni: str = "ptp") -> Iterator[Stand]:
    """A node of its own for a test."""
    with Nodes(CNIS[cni]) as nodes, cluster(nodes, options) as made:
        client, backend = made.add_pod(nodes[0]), made.add_pod(nodes[0])
        yield Stand(made, nodes[0], client, backend, made.service(backend))


@pytest.fixture(scope="module")
def auto() -> Iterator[Stand]:
    """With the agent's default. Tests leave the node as they found it."""
    yield from stand_with("--redirect=auto")


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[Stand]:
    """With the options that the test names."""
    yield from stand_with(*request.param)


def test_on_a_plain_node_the_stack_forwards_nothing(auto: Stand, family: Family) -> None:
    auto.settle(family)
    assert auto.through_the_stack(family) == 0


HINDRANCES = {
    "an iptables rule that sees forwarded packets": (
        "iptables -A FORWARD -j ACCEPT",
        "iptables -D FORWARD -j ACCEPT",
        "netfilter sees forwarded packets: table filter, chain FORWARD",
    ),
    "the same in the legacy tables": (
        "iptables-legacy -t mangle -A PREROUTING -j ACCEPT",
        "iptables-legacy -t mangle -D PREROUTING -j ACCEPT",
        "netfilter sees forwarded packets: table mangle, chain PREROUTING",
    ),
    "a policy to drop": (
        "iptables -P FORWARD DROP",
        "iptables -P FORWARD ACCEPT",
        "netfilter sees forwarded packets: table filter, chain FORWARD",
    ),
    "an nftables chain of both families": (
        "nft add table inet rules ; add chain inet rules seen { type filter hook prerouting priority 0 ; } ; "
        "add rule inet rules seen counter",
        "nft delete table inet rules",
        "netfilter sees forwarded packets: table rules, chain seen",
    ),
    "a routing rule": (
        "ip rule add from 192.0.2.0/24 table 77 priority 777",
        "ip rule del from 192.0.2.0/24 table 77 priority 777",
        "there are routing rules (ip rule), the first at priority 777",
    ),
    "a node that does not forward": (
        "sysctl -qw net.ipv4.ip_forward=0",
        "sysctl -qw net.ipv4.ip_forward=1",
        "the node does not forward IPv4",
    ),
}


@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_what_would_be_got_past_keeps_packets_on_the_ordinary_way(auto: Stand, hindrance: str) -> None:
    add, remove, words = HINDRANCES[hindrance]
    auto.settle(Family.IPV4)
    auto.node.run(*add.split())
    try:
        auto.look_anew(Family.IPV4, allowed=False)
        assert auto.reached(Family.IPV4) == set()
        assert words in auto.agent.program.output()
        if "sysctl" not in add and "DROP" not in add:
            assert auto.through_the_stack(Family.IPV4) > 0
    finally:
        auto.node.run(*remove.split())
    auto.look_anew(Family.IPV4, allowed=True)
    auto.settle(Family.IPV4)
    assert auto.through_the_stack(Family.IPV4) == 0


def test_packets_are_not_taken_from_a_filter_of_others_behind_ours(auto: Stand) -> None:
    where = ["dev", auto.client.device, "ingress", "prio", "2000"]
    every_packet = ["protocol", "all", "bpf", "bytecode", "1,6 0 0 4294967295,", "flowid", "1:1"]
    auto.settle(Family.IPV4)
    auto.node.run("tc", "filter", "add", *where, *every_packet)
    try:
        auto.look_anew(Family.IPV4, allowed=False)
        assert f"filters of others come behind tcnat's on {auto.client.device}" in auto.agent.program.output()
        assert auto.through_the_stack(Family.IPV4) > 0
    finally:
        auto.node.run("tc", "filter", "del", *where)
    auto.look_anew(Family.IPV4, allowed=True)


FEW = 10
"""More packets than neighbours say to each other beside a talk, and fewer than a talk has."""


@pytest.fixture(scope="module")
def in_the_way() -> str:
    """Why devices are passed on this kernel; "" if packets go past them."""
    return hindrance(PeerChoice.AUTO)


@pytest.fixture
def past_devices(in_the_way: str) -> None:
    """For tests of what this kernel may not do."""
    if in_the_way:
        pytest.skip(f"packets do not go past devices here: {in_the_way}")


@pytest.mark.usefixtures("past_devices")
def test_on_a_plain_node_packets_go_past_the_pods_devices(auto: Stand, family: Family) -> None:
    auto.settle(family)
    before = counted(auto.backend, "eth0")["rx"]
    assert auto.by_the_device(family) < FEW
    assert auto.through_the_stack(family) == 0
    assert counted(auto.backend, "eth0")["rx"] - before > 2 * FEW


@pytest.mark.usefixtures("past_devices")
@pytest.mark.parametrize(
    ("add", "remove"),
    [
        pytest.param(
            "tc qdisc add dev {} root tbf rate 1gbit burst 1mb latency 50ms",
            "tc qdisc del dev {} root",
            id="a queueing discipline, as of the bandwidth plugin",
        ),
        pytest.param(
            "tc filter add dev {} egress prio 2000 protocol all bpf bytecode 1,6\\ 0\\ 0\\ 4294967295, flowid 1:1",
            "tc filter del dev {} egress prio 2000",
            id="a filter of others on the way out",
        ),
    ],
)
def test_what_a_device_has_on_its_way_out_sees_the_packets(auto: Stand, add: str, remove: str) -> None:
    """They are handed to the device then, past the stack all the same."""
    auto.settle(Family.IPV4)
    auto.node.run("sh", "-c", add.format(auto.backend.device))
    try:
        os.kill(auto.agent.program.pid, signal.SIGHUP)
        wait_until(lambda: auto.way_to_backend(Family.IPV4) == Way(0), "the device to be seen to")
        assert auto.by_the_device(Family.IPV4) > FEW
        assert auto.through_the_stack(Family.IPV4) == 0
    finally:
        auto.node.run("sh", "-c", remove.format(auto.backend.device))
    os.kill(auto.agent.program.pid, signal.SIGHUP)
    wait_until(lambda: auto.way_to_backend(Family.IPV4) == Way.PAST_DEVICE, "the device to be passed again")


@pytest.mark.parametrize("own", [["--redirect=auto", "--redirect-peer=off"]], indirect=True)
def test_devices_can_be_kept_in_the_way(own: Stand, family: Family) -> None:
    """So that captures on them show every packet."""
    own.settle(family)
    assert own.by_the_device(family) > FEW
    assert own.through_the_stack(family) == 0


@pytest.mark.parametrize("hook", ["ingress", "egress"])
def test_chains_of_a_device_hinder_where_it_is_a_workloads(auto: Stand, hook: str) -> None:
    device = auto.client.device
    auto.settle(Family.IPV4)
    chain = f"type filter hook {hook} device {device} priority 0 ; policy drop ;"
    auto.node.run("nft", f"add table netdev own ; add chain netdev own seen {{ {chain} }}")
    try:
        with entered(auto.node.name):
            assert hooked(Family.IPV4, ["eth0", auto.backend.device]) == []
            assert hooked(Family.IPV4, ["eth0", device]) == ["table own, chain seen"]
        auto.look_anew(Family.IPV4, allowed=False)
        assert "netfilter sees forwarded packets: table own, chain seen" in auto.agent.program.output()
    finally:
        auto.node.run("nft", "delete table netdev own")
    auto.look_anew(Family.IPV4, allowed=True)


@pytest.mark.parametrize("own", [["--redirect=off"]], indirect=True)
def test_it_can_be_switched_off(own: Stand, family: Family) -> None:
    assert own.through_the_stack(family) > 0
    assert own.until(family) == 0


@pytest.mark.parametrize("own", [["--redirect=on"]], indirect=True)
def test_an_operator_who_knows_can_have_it_in_spite_of_rules(own: Stand) -> None:
    own.node.run("iptables", "-A", "FORWARD", "-j", "ACCEPT")
    own.settle(Family.IPV4)
    own.look_anew(Family.IPV4, allowed=True)
    assert own.through_the_stack(Family.IPV4) == 0


def test_a_pod_that_goes_is_forgotten(auto: Stand, family: Family) -> None:
    """So that another may come with its address."""
    pod = auto.cluster.add_pod(auto.node)
    with auto.cluster.tcp(auto.client, auto.cluster.service(pod), family) as connection:
        assert connection.server == pod.role
    address = pod.addresses.of(family)
    wait_until(lambda: address in auto.reached(family), "the pod to be known")
    auto.node.ip(f"link delete {pod.device}")
    wait_until(lambda: address not in auto.reached(family), "the pod to be forgotten")


@pytest.mark.parametrize("own", [["--redirect=auto"]], indirect=True)
def test_an_agent_that_ends_takes_the_leave_back(own: Stand) -> None:
    own.settle(Family.IPV4)
    own.agent.stop()
    assert own.until(Family.IPV4) == 0
    assert own.through_the_stack(Family.IPV4) > 0


@pytest.mark.parametrize("own", [["--redirect=auto"]], indirect=True)
def test_an_agent_that_was_killed_has_given_leave_for_half_a_minute(own: Stand) -> None:
    own.settle(Family.IPV4)
    own.agent.stop(signal.SIGKILL)
    assert 0 < own.until(Family.IPV4) - time.monotonic() <= 30
    own.talk(Family.IPV4)


@pytest.mark.parametrize("own", [["--redirect=auto"]], indirect=True)
def test_a_pod_whose_link_takes_less_than_the_others_is_reached_by_the_stack(own: Stand) -> None:
    """Which can say so to whoever sends too much."""
    own.settle(Family.IPV4)
    own.node.ip(f"link set {own.backend.device} mtu 1400")
    os.kill(own.agent.program.pid, signal.SIGHUP)
    address = own.backend.addresses.v4
    wait_until(lambda: address not in own.reached(Family.IPV4), "the narrow pod to be left out")
    assert own.client.addresses.v4 in own.reached(Family.IPV4)
    own.talk(Family.IPV4)


def test_ports_of_a_bridge_are_left_to_it(family: Family) -> None:
    for stand in stand_with(cni="bridge"):
        stand.talk(family)
        assert stand.through_the_stack(family) > 0
        assert stand.reached(family) == set()


def test_status_tells_of_it(auto: Stand, family: Family, in_the_way: str) -> None:
    auto.settle(family)
    said = json.loads(auto.agent.tcnat("status", "-o", "json"))
    (own,) = [each for each in said["families"] if each["family"] == family]
    assert own["redirect"]
    assert own["reached"] == len(auto.reached(family))
    past = 0 if in_the_way else own["reached"]
    assert own["past_devices"] == past
    words = f"{own['reached']} addresses" + (f", {past} past their devices" if past else "")
    assert f"IPv{family} yes ({words})" in auto.agent.tcnat("status")
