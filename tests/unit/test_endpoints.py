"""Which endpoints serve: rules 3–5, 10–15 and 38, in both families."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcnat.endpoints import Candidates, EndpointSet, Selection, any_usable, candidates_by_port, cluster_set, local_set
from tcnat.model import Backend, NodeInfo, Protocol, parse_address
from tests.unit.kube import BOTH, V4, V6, Json, Net, endpoint, endpoint_slice, parse_slices

HERE = NodeInfo("here", "zone-a")
NOWHERE = NodeInfo()
EVERY_NET = pytest.mark.parametrize("net", BOTH, ids=str)


def candidates(
    *slices: Json, name: str = "http", protocol: Protocol = Protocol.TCP, size: int | None = None
) -> Candidates:
    """The candidates of one port of the slices."""
    found = candidates_by_port(parse_slices(*slices))
    if size is None:
        return {**found.get((name, protocol, 4), {}), **found.get((name, protocol, 16), {})}
    return found.get((name, protocol, size), {})


def backends(*addresses: str, port: int = 8080) -> tuple[Backend, ...]:
    """As they are expected: sorted."""
    return tuple(sorted(Backend(parse_address(address), port) for address in addresses))


def pods(net: Net, *names: str) -> list[str]:
    """Addresses of pods by what they are called in the tables: one, two, three."""
    return [getattr(net, f"pod_{name}") for name in names]


def row(sentence: str, endpoints: dict[str, Json], cluster: str, local: str, how: str = "ready") -> object:
    """A row: the endpoints by pod, the pods that serve under each policy, and how the Cluster set was selected."""
    return pytest.param(endpoints, cluster.split(), local.split(), Selection(how), id=sentence)


AWAY: Json = {"node": "away"}
LOCAL: Json = {"node": "here"}
NOT_READY: Json = {"ready": False, "serving": False}
DRAINING: Json = {"ready": False, "serving": True, "terminating": True}
DEAD: Json = {"ready": False, "serving": False, "terminating": True}


@EVERY_NET
@pytest.mark.parametrize(
    ("endpoints", "cluster", "local", "how"),
    [
        row("no endpoint at all", {}, "", "", "none"),
        row("rule 10: unset conditions mean ready", {"one": LOCAL, "two": AWAY}, "one two", "one"),
        row("rule 10: ready false does not serve", {"one": {**LOCAL, **NOT_READY}, "two": AWAY}, "two", ""),
        row("rule 10: no node name is not local", {"one": {}}, "one", ""),
        row("rule 10: ready counts even where serving says no", {"one": {"ready": True, "serving": False}}, "one", ""),
        row(
            "rule 10: serving unset counts as true for one that terminates",
            {"one": {**LOCAL, "ready": False, "terminating": True}},
            "one",
            "one",
            "terminating",
        ),
        row("rule 12: while one is ready, terminating ones do not serve", {"one": AWAY, "two": DRAINING}, "one", ""),
        row(
            "rule 12: with none ready, those that serve while terminating do",
            {"one": {**LOCAL, **DRAINING}, "two": {**AWAY, **DRAINING}, "three": {**AWAY, **DEAD}},
            "one two",
            "one",
            "terminating",
        ),
        row(
            "rule 12: the fallback is decided for the Local set by itself",
            {"one": {**LOCAL, **DRAINING}, "two": AWAY},
            "two",
            "one",
        ),
        row(
            "rule 12: a ready one here keeps the terminating one here out",
            {"one": {**LOCAL, **DRAINING}, "two": LOCAL},
            "two",
            "two",
        ),
        row(
            "rule 12: serving but neither ready nor terminating is not enough",
            {"one": {"ready": False}},
            "",
            "",
            "none",
        ),
        row("rule 12: terminating and not serving is not enough", {"one": DEAD}, "", "", "none"),
        row(
            "rule 13: an unready pod that publishes all the same comes as ready",
            {"one": {**LOCAL, "ready": True, "serving": True, "terminating": True}},
            "one",
            "one",
        ),
        row(
            "rule 14: zone hints on all, and one names this zone",
            {"one": {"zones": ["zone-a"]}, "two": {"zones": ["zone-b"]}, "three": {"zones": ["zone-b", "zone-a"]}},
            "one three",
            "",
            "zone hints",
        ),
        row(
            "rule 14: one without a zone hint, and none counts",
            {"one": {"zones": ["zone-a"]}, "two": {}},
            "one two",
            "",
        ),
        row(
            "rule 14: zone hints on all, and none names this zone",
            {"one": {"zones": ["zone-b"]}, "two": {"zones": ["zone-c"]}},
            "one two",
            "",
        ),
        row(
            "rule 14: an endpoint that is not ready needs no hint",
            {"one": {"zones": ["zone-a"]}, "two": {"zones": ["zone-b"]}, "three": NOT_READY},
            "one",
            "",
            "zone hints",
        ),
        row(
            "rule 14: a hint for this zone on one that is not ready does not count",
            {"one": {"zones": ["zone-a"], **NOT_READY}, "two": {"zones": ["zone-b"]}},
            "two",
            "",
        ),
        row(
            "rule 14: node hints go before zone hints",
            {"one": {"nodes": ["here"], "zones": ["zone-b"]}, "two": {"nodes": ["away"], "zones": ["zone-a"]}},
            "one",
            "",
            "node hints",
        ),
        row(
            "rule 14: node hints that name another node, so the zone's",
            {"one": {"nodes": ["away"], "zones": ["zone-b"]}, "two": {"nodes": ["else"], "zones": ["zone-a"]}},
            "two",
            "",
            "zone hints",
        ),
        row(
            "rule 14: a node hint missing on one, so the zone's",
            {"one": {"nodes": ["here"], "zones": ["zone-b"]}, "two": {"zones": ["zone-a"]}},
            "two",
            "",
            "zone hints",
        ),
        row(
            "rule 14: an empty list of hints is none",
            {"one": {"zones": []}, "two": {"zones": ["zone-a"]}},
            "one two",
            "",
        ),
        row(
            "rule 14: the zone that an endpoint is in is no hint",
            {"one": {"zone": "zone-a"}, "two": {"zone": "zone-b"}},
            "one two",
            "",
        ),
        row(
            "rule 15: hints do not touch the Local set",
            {"one": {**LOCAL, "zones": ["zone-b"]}, "two": {**AWAY, "zones": ["zone-a"]}},
            "two",
            "one",
            "zone hints",
        ),
        row(
            "rule 15: hints do not touch the terminating fallback",
            {"one": {**DRAINING, "zones": ["zone-a"]}, "two": {**DRAINING, "zones": ["zone-b"]}},
            "one two",
            "",
            "terminating",
        ),
    ],
)
def test_sets(
    net: Net, endpoints: dict[str, Json], cluster: Sequence[str], local: Sequence[str], how: Selection
) -> None:
    given = [endpoint(getattr(net, f"pod_{name}"), **options) for name, options in endpoints.items()]
    found = candidates(endpoint_slice(net.family, *given))
    assert cluster_set(found, HERE) == EndpointSet(backends(*pods(net, *cluster)), how)
    assert local_set(found, HERE).backends == backends(*pods(net, *local))


@EVERY_NET
def test_rule_10_on_a_node_without_a_name_nothing_is_local(net: Net) -> None:
    found = candidates(endpoint_slice(net.family, endpoint(net.pod_one), endpoint(net.pod_two, "")))
    assert local_set(found, NOWHERE) == EndpointSet((), Selection.NONE)


@EVERY_NET
def test_rule_14_a_node_without_a_zone_follows_no_zone_hint(net: Net) -> None:
    given = (endpoint(net.pod_one, zones=["zone-a"]), endpoint(net.pod_two, zones=["zone-b"]))
    found = candidates(endpoint_slice(net.family, *given))
    assert cluster_set(found, NodeInfo("here", "")).selection is Selection.READY


@EVERY_NET
class TestWhichObjectsCount:
    """Rules 1, 3, 4, 5, 8, 11 and 38."""

    def test_rule_1_slices_of_another_proxy_do_not(self, net: Net) -> None:
        for label in ("service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"):
            assert not candidates(endpoint_slice(net.family, endpoint(net.pod_one), labels={label: ""}))

    def test_rule_3_slices_of_host_names_do_not(self, net: Net) -> None:
        assert not candidates(endpoint_slice("FQDN", endpoint("pod.example"), endpoint(net.pod_one)))

    def test_rule_3_an_address_of_the_other_family_does_not(self, net: Net) -> None:
        other = V6 if net is V4 else V4
        found = candidates(endpoint_slice(net.family, endpoint(net.pod_one), endpoint(other.pod_two)))
        assert set(found) == set(backends(net.pod_one))

    def test_rule_4_port_name_and_protocol_join(self, net: Net) -> None:
        ports = [
            {"name": "http", "port": 8080, "protocol": "TCP"},
            {"name": "http", "port": 8081, "protocol": "UDP"},
            {"name": "", "port": 8082},
        ]
        slices = endpoint_slice(net.family, endpoint(net.pod_one), ports=ports)
        assert set(candidates(slices)) == set(backends(net.pod_one, port=8080))
        assert set(candidates(slices, protocol=Protocol.UDP)) == set(backends(net.pod_one, port=8081))
        assert set(candidates(slices, name="")) == set(backends(net.pod_one, port=8082))
        assert not candidates(slices, protocol=Protocol.SCTP)

    @pytest.mark.parametrize("broken", [{"port": 8080}, {"name": "http"}, {"name": "http", "port": 0}])
    def test_rule_5_ports_without_name_or_number_do_not(self, net: Net, broken: Json) -> None:
        assert not candidates(endpoint_slice(net.family, endpoint(net.pod_one), ports=[broken]))
        assert not candidates(endpoint_slice(net.family, endpoint(net.pod_one), ports=[broken]), name="")

    def test_rule_5_only_the_first_address_of_an_endpoint_does(self, net: Net) -> None:
        two = {**endpoint(net.pod_one), "addresses": [net.pod_one, net.pod_two]}
        none = {**endpoint(net.pod_one), "addresses": []}
        assert set(candidates(endpoint_slice(net.family, none, two))) == set(backends(net.pod_one))

    def test_one_name_with_two_numbers_in_two_slices_gives_both(self, net: Net) -> None:
        """Named target ports may resolve otherwise from pod to pod."""
        other = [{"name": "http", "port": 9090, "protocol": "TCP"}]
        found = candidates(
            endpoint_slice(net.family, endpoint(net.pod_one)),
            endpoint_slice(net.family, endpoint(net.pod_two), name="web-2", ports=other),
        )
        assert set(found) == {*backends(net.pod_one), *backends(net.pod_two, port=9090)}

    def test_rule_38_core_endpoints_count_where_there_is_no_slice(self, net: Net) -> None:
        core = {
            "kind": "Endpoints",
            "apiVersion": "v1",
            "metadata": {"name": "web", "namespace": "default"},
            "subsets": [
                {
                    "addresses": [{"ip": net.pod_one, "nodeName": "here"}],
                    "notReadyAddresses": [{"ip": net.pod_three}],
                    "ports": [{"name": "http", "port": 8080}],
                }
            ],
        }
        found = candidates(core)
        assert cluster_set(found, HERE).backends == backends(net.pod_one)
        assert local_set(found, HERE).backends == backends(net.pod_one)
        both = candidates(core, endpoint_slice(net.family, endpoint(net.pod_two)))
        assert cluster_set(both, HERE).backends == backends(net.pod_two)

    def test_rule_38_v1beta1_slices_count_like_v1(self, net: Net) -> None:
        given = {**endpoint(net.pod_one), "topology": {"kubernetes.io/hostname": "here"}}
        found = candidates(endpoint_slice(net.family, given, version="v1beta1"))
        assert local_set(found, HERE).backends == backends(net.pod_one)

    @pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
    @pytest.mark.parametrize(
        ("first", "second", "serves"),
        [
            pytest.param({}, DRAINING, True, id="the non-terminating one wins, here the ready one"),
            pytest.param(
                NOT_READY, {**DRAINING, "ready": True}, False, id="the non-terminating one wins, ready or not"
            ),
            pytest.param({}, NOT_READY, True, id="of two that do not terminate a ready one wins"),
            pytest.param({}, {}, True, id="the same twice counts once"),
        ],
    )
    def test_rule_11_one_ip_and_port_in_two_slices(
        self, net: Net, first: Json, second: Json, serves: bool, order: tuple[int, int]
    ) -> None:
        slices = [
            endpoint_slice(net.family, endpoint(net.pod_one, **first), name="web-1"),
            endpoint_slice(net.family, endpoint(net.pod_one, **second), name="web-2"),
        ]
        found = candidates(*(slices[at] for at in order))
        assert len(found) == 1
        assert bool(cluster_set(found, HERE).backends) is serves

    def test_rule_11_the_same_ip_with_another_port_is_another(self, net: Net) -> None:
        other = [{"name": "http", "port": 9090, "protocol": "TCP"}]
        found = candidates(
            endpoint_slice(net.family, endpoint(net.pod_one)),
            endpoint_slice(net.family, endpoint(net.pod_one), name="web-2", ports=other),
        )
        assert len(found) == 2

    @pytest.mark.parametrize(
        ("options", "usable"),
        [({}, True), (DRAINING, True), (NOT_READY, False), (DEAD, False), ({"ready": False}, False)],
    )
    def test_rule_24_what_is_usable_anywhere(self, net: Net, options: Json, usable: bool) -> None:
        assert any_usable(candidates(endpoint_slice(net.family, endpoint(net.pod_one, **options)))) is usable


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "ready": st.booleans(),
        "serving": st.booleans(),
        "terminating": st.booleans(),
        "node": st.sampled_from(["here", "away", ""]),
        "zones": st.lists(st.sampled_from(["zone-a", "zone-b"]), max_size=2),
        "nodes": st.lists(st.sampled_from(["here", "away"]), max_size=2),
    },
)


@given(st.lists(OPTIONS, max_size=6), st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_sets_hold_what_the_rules_say_whatever_the_endpoints(
    options: list[Json], slices: int, shuffler: random.Random
) -> None:
    """Rules 12, 14, 15 and 24 as invariants; and neither the order of slices nor that of endpoints matters."""
    given = [endpoint(f"10.244.9.{number}", **each) for number, each in enumerate(options)]
    parts = [endpoint_slice("IPv4", *given[at::slices], name=f"web-{at}") for at in range(slices)]
    found = candidates(*parts)
    cluster, local = cluster_set(found, HERE), local_set(found, HERE)
    assert bool(cluster.backends) == any_usable(found)
    assert list(cluster.backends) == sorted(set(cluster.backends))
    ready = {backend for backend, each in found.items() if each.ready}
    if ready:
        assert set(cluster.backends) <= ready
        assert cluster.selection is not Selection.READY or set(cluster.backends) == ready
    assert all(found[backend].node == "here" for backend in local.backends)
    shuffler.shuffle(parts)
    for part in parts:
        shuffler.shuffle(part["endpoints"])
    again = candidates(*parts)
    assert (cluster_set(again, HERE), local_set(again, HERE)) == (cluster, local)
