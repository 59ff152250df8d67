"""What ``explain`` answers, rule by rule, in both families."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tcnat.explain import Answer, Explainer, Flow, Origin, Settings, spread_over
from tcnat.inventory import Inventory
from tcnat.model import (
    Backend,
    Network,
    NodeInfo,
    Protocol,
    Verdict,
    format_address,
    format_endpoint,
    parse_address,
    parse_network,
)
from tests.unit.kube import BOTH, V4, V6, Json, Net, endpoint, endpoint_slice, parse, port, service

EVERY_NET = pytest.mark.parametrize("net", BOTH, ids=str)
EVERY_ORIGIN = pytest.mark.parametrize("origin", list(Origin))
DEAD: Json = {"ready": False, "serving": False}
DRAINING: Json = {"ready": False, "serving": True, "terminating": True}


class Ask:
    """Questions about objects on the node ``here``; what is not given is a pod's packet to the cluster IP's port 80."""

    def __init__(self, net: Net, *objects: Json, **settings: Any) -> None:
        self.net = net
        given = {"cluster_cidrs": (parse_network(net.cluster_cidr),), **settings}
        node = NodeInfo("here", "zone-a", (parse_address(net.node),))
        self._explainer = Explainer(Inventory(parse(*objects)).services(), Settings(node=node, **given))

    def __call__(
        self,
        to: str | None = None,
        number: int = 80,
        *,
        origin: Origin = Origin.POD,
        source: str | None = None,
        source_port: int | None = None,
        protocol: Protocol = Protocol.TCP,
    ) -> Answer:
        usual = {Origin.POD: self.net.pod_client, Origin.NODE: self.net.node, Origin.EXTERNAL: self.net.outsider}
        return self._explainer.explain(
            Flow(
                origin,
                parse_address(source or usual[origin]),
                source_port,
                parse_address(to or self.net.service),
                number,
                protocol,
            )
        )


def addresses(answer: Answer) -> list[str]:
    """The eligible backends' addresses."""
    return [format_address(share.backend.address) for share in answer.backends]


def networks(*cidrs: str) -> tuple[Network, ...]:
    return tuple(map(parse_network, cidrs))


def everything(net: Net, **changed: Any) -> Json:
    """A Service with every sort of front end."""
    options: dict[str, Any] = {
        "type": "LoadBalancer",
        "externalIPs": [net.external_ip],
        "ingress": [{"ip": net.lb_ip}],
        "ports": [port(node_port=30080)],
        **changed,
    }
    return service(net.service, **options)


def two(net: Net) -> Json:
    """A slice with an endpoint on this node and one on another."""
    return endpoint_slice(net.family, endpoint(net.pod_one, "here"), endpoint(net.pod_two, "away"))


def away(net: Net) -> Json:
    """A slice with one endpoint, on another node."""
    return endpoint_slice(net.family, endpoint(net.pod_two, "away"))


def outside(net: Net) -> list[tuple[str, int]]:
    """The external front ends of :func:`everything`."""
    return [(net.external_ip, 80), (net.lb_ip, 80), (net.node, 30080)]


@EVERY_NET
class TestClusterIp:
    def test_two_ready_endpoints_share(self, net: Net) -> None:
        answer = Ask(net, service(net.service), two(net))()
        assert (answer.verdict, answer.rule) == (Verdict.DNAT, 12)
        assert str(answer.front_end) == f"{format_endpoint(parse_address(net.service), 80)}/TCP"
        assert str(answer.service) == "default/web:http"
        assert addresses(answer) == [net.pod_one, net.pod_two]
        assert answer.chosen is None
        assert not answer.masquerade
        assert answer.reason == "default/web:http: 2 ready endpoints, rule 12"

    def test_without_a_source_port_a_single_backend_is_chosen_all_the_same(self, net: Net) -> None:
        answer = Ask(net, service(net.service), away(net))()
        assert str(answer.chosen) == format_endpoint(parse_address(net.pod_two), 8080)
        assert [share for _, share in answer.backends] == [1.0]

    def test_source_ports_spread_as_the_shares_say(self, net: Net) -> None:
        ask = Ask(net, service(net.service), two(net))
        chosen = Counter(ask(source_port=number).chosen for number in range(20000, 24000))
        for backend, share in ask().backends:
            assert chosen[backend] / 4000 == pytest.approx(share, abs=0.03)
        assert ask(source_port=1).chosen == ask(source_port=1).chosen

    def test_rule_12_terminating_ones_serve_where_none_is_ready(self, net: Net) -> None:
        draining = endpoint_slice(net.family, endpoint(net.pod_one, **DRAINING), endpoint(net.pod_two, **DRAINING))
        answer = Ask(net, service(net.service), draining)()
        assert (answer.verdict, answer.rule) == (Verdict.DNAT, 12)
        assert answer.reason == "default/web:http: no ready endpoint; 2 terminating ones serve, rule 12"

    def test_rule_14_hints(self, net: Net) -> None:
        hinted = endpoint_slice(
            net.family, endpoint(net.pod_one, zones=["zone-a"]), endpoint(net.pod_two, zones=["zone-b"])
        )
        answer = Ask(net, service(net.service), hinted)()
        assert (answer.rule, addresses(answer)) == (14, [net.pod_one])
        assert "1 of 2 ready endpoints is hinted for this zone" in answer.reason

    def test_rule_22_internal_traffic_policy_local(self, net: Net) -> None:
        each = service(net.service, internalTrafficPolicy="Local")
        answer = Ask(net, each, two(net))()
        assert (answer.verdict, answer.rule, addresses(answer)) == (Verdict.DNAT, 22, [net.pod_one])
        answer = Ask(net, each, away(net))()
        assert (answer.verdict, answer.rule, addresses(answer)) == (Verdict.DROP, 24, [])

    def test_rule_24_reject(self, net: Net) -> None:
        answer = Ask(net, service(net.service), endpoint_slice(net.family, endpoint(net.pod_one, **DEAD)))()
        assert (answer.verdict, answer.rule, answer.backends, answer.chosen) == (Verdict.REJECT, 24, (), None)
        assert answer.front_end is not None
        assert answer.reason == "default/web:http: no endpoint of 1 serves, rule 24"

    def test_rule_29_affinity_is_said(self, net: Net) -> None:
        answer = Ask(net, service(net.service, sessionAffinity="ClientIP"), two(net))()
        assert "10800 s, rule 29" in answer.reason

    @pytest.mark.parametrize(("protocol", "hit"), [(Protocol.TCP, False), (Protocol.UDP, True), (Protocol.SCTP, False)])
    def test_rule_8_another_protocol_on_the_same_port_is_another_port(
        self, net: Net, protocol: Protocol, hit: bool
    ) -> None:
        answer = Ask(net, service(net.service, ports=[port(53, "dns", "UDP")]))(number=53, protocol=protocol)
        assert answer.verdict is (Verdict.REJECT if hit else Verdict.PASS)


@EVERY_NET
class TestOtherDestinations:
    def test_a_backend_s_own_address_passes(self, net: Net) -> None:
        answer = Ask(net, service(net.service), two(net))(net.pod_one, 8080)
        assert (answer.verdict, answer.front_end, answer.backends) == (Verdict.PASS, None, ())
        assert not answer.masquerade

    @pytest.mark.parametrize(
        ("changed", "rule"),
        [
            ({"labels": {"service.kubernetes.io/service-proxy-name": "other"}}, 1),
            ({"type": "ExternalName"}, 2),
        ],
    )
    def test_rules_1_and_2_a_skipped_service_passes_and_says_why(
        self, net: Net, changed: dict[str, Any], rule: int
    ) -> None:
        answer = Ask(net, service(net.service, **changed), two(net))()
        assert (answer.verdict, answer.rule, answer.front_end) == (Verdict.PASS, rule, None)
        assert "default/web" in answer.reason

    @pytest.mark.parametrize("choice", [Verdict.PASS, Verdict.REJECT, Verdict.DROP])
    def test_rule_25_a_port_that_the_cluster_ip_does_not_have(self, net: Net, choice: Verdict) -> None:
        ask = Ask(net, everything(net), two(net), unknown_port=choice)
        answer = ask(number=81)
        assert (answer.verdict, answer.rule, answer.front_end) == (choice, 25, None)
        assert ask(number=80, protocol=Protocol.UDP).verdict is choice
        for address in (net.external_ip, net.lb_ip, net.node, net.unallocated):
            assert ask(address, 81).verdict is Verdict.PASS, "only cluster IPs have unknown ports"

    def test_rule_25_an_unallocated_address_of_the_service_cidr_drops(self, net: Net) -> None:
        ask = Ask(net, service(net.service), two(net), service_cidrs=networks(V4.service_cidr, V6.service_cidr))
        answer = ask(net.unallocated)
        assert (answer.verdict, answer.rule, answer.front_end) == (Verdict.DROP, 25, None)
        assert ask().verdict is Verdict.DNAT
        assert ask(number=81).verdict is Verdict.PASS, "an allocated one follows --unknown-port"
        assert ask(net.outsider).verdict is Verdict.PASS

    def test_rule_25_without_a_service_cidr_of_the_family_it_passes(self, net: Net) -> None:
        other = V6 if net is V4 else V4
        assert Ask(net, service_cidrs=networks(other.service_cidr))(net.unallocated).verdict is Verdict.PASS


@EVERY_NET
class TestExternalFrontEnds:
    """Rules 16 to 21."""

    @EVERY_ORIGIN
    def test_rule_16_external_ips_ingress_ips_and_node_ports_answer(self, net: Net, origin: Origin) -> None:
        ask = Ask(net, everything(net), two(net))
        for address, number in outside(net):
            answer = ask(address, number, origin=origin)
            assert (answer.verdict, addresses(answer)) == (Verdict.DNAT, [net.pod_one, net.pod_two])

    def test_rule_16_load_balancer_ip_of_the_spec_is_none(self, net: Net) -> None:
        each = service(net.service, type="LoadBalancer", loadBalancerIP=net.lb_ip)
        assert Ask(net, each, two(net))(net.lb_ip).verdict is Verdict.PASS

    @pytest.mark.parametrize(
        ("mode", "verdict"), [(None, Verdict.DNAT), ("VIP", Verdict.DNAT), ("Proxy", Verdict.PASS)]
    )
    def test_rule_17_ip_mode(self, net: Net, mode: str | None, verdict: Verdict) -> None:
        each = service(net.service, type="LoadBalancer", ingress=[{"ip": net.lb_ip, "ipMode": mode}])
        assert Ask(net, each, two(net))(net.lb_ip).verdict is verdict

    @EVERY_ORIGIN
    def test_rule_18_source_ranges_filter_the_ingress_ips_only(self, net: Net, origin: Origin) -> None:
        each = everything(net, loadBalancerSourceRanges=[net.outsider_cidr])
        ask = Ask(net, each, two(net))
        answer = ask(net.lb_ip, origin=origin)
        inside = origin is Origin.EXTERNAL
        assert (answer.verdict, answer.rule) == ((Verdict.DNAT, 12) if inside else (Verdict.DROP, 18))
        assert ask(net.lb_ip, origin=origin, source=net.stranger).verdict is Verdict.DROP
        for address, number in ((net.external_ip, 80), (net.node, 30080), (net.service, 80)):
            assert ask(address, number, origin=origin, source=net.stranger).verdict is Verdict.DNAT

    def test_rule_18_a_range_of_the_node_lets_the_lb_ips_themselves_in(self, net: Net) -> None:
        """They are often the node's own addresses, and then the source of what it sends to them."""
        ingress = [{"ip": net.lb_ip}, {"ip": net.other_lb_ip}]
        for ranges, verdict in (([net.node_cidr], Verdict.DNAT), ([net.outsider_cidr], Verdict.DROP)):
            ask = Ask(net, everything(net, ingress=ingress, loadBalancerSourceRanges=ranges), two(net))
            assert ask(net.lb_ip, origin=Origin.NODE, source=net.other_lb_ip).verdict is verdict
            assert ask(net.lb_ip, origin=Origin.NODE, source=net.external_ip).verdict is Verdict.DROP

    def test_rule_18_ranges_of_the_other_family_do_not_count(self, net: Net) -> None:
        other = V6 if net is V4 else V4
        each = everything(net, loadBalancerSourceRanges=[other.outsider_cidr])
        assert Ask(net, each, two(net))(net.lb_ip, origin=Origin.EXTERNAL).verdict is Verdict.DNAT

    def test_rule_18_without_any_endpoint_it_is_a_reject(self, net: Net) -> None:
        each = everything(net, loadBalancerSourceRanges=[net.outsider_cidr])
        assert Ask(net, each)(net.lb_ip, origin=Origin.EXTERNAL, source=net.stranger).verdict is Verdict.REJECT

    def test_rule_18_and_a_local_policy_without_a_local_endpoint_drops_as_well(self, net: Net) -> None:
        each = everything(net, externalTrafficPolicy="Local", loadBalancerSourceRanges=[net.outsider_cidr])
        ask = Ask(net, each, away(net))
        assert ask(net.lb_ip, origin=Origin.EXTERNAL).rule == 24
        assert ask(net.lb_ip, origin=Origin.EXTERNAL, source=net.stranger).rule == 18

    @pytest.mark.parametrize(
        ("given", "verdict"),
        [
            pytest.param((), Verdict.DNAT, id="rule 19: everywhere by default"),
            pytest.param(("node_cidr",), Verdict.DNAT, id="rule 19: inside a range"),
            pytest.param(("elsewhere_cidr",), Verdict.PASS, id="rule 19: outside"),
            pytest.param(("elsewhere_cidr", "node_cidr"), Verdict.DNAT, id="rule 19: one of two ranges"),
        ],
    )
    def test_node_port_addresses(self, net: Net, given: tuple[str, ...], verdict: Verdict) -> None:
        cidrs = networks(*(getattr(net, name) for name in given))
        answer = Ask(net, everything(net), two(net), nodeport_addresses=cidrs)(net.node, 30080, origin=Origin.EXTERNAL)
        assert answer.verdict is verdict
        assert verdict is Verdict.DNAT or answer.rule == 19

    def test_rule_19_a_list_without_the_family_means_all_of_it(self, net: Net) -> None:
        other = V6 if net is V4 else V4
        ask = Ask(net, everything(net), two(net), nodeport_addresses=networks(other.elsewhere_cidr))
        assert ask(net.node, 30080, origin=Origin.EXTERNAL).verdict is Verdict.DNAT

    def test_rule_19_addresses_that_are_not_the_node_s_have_no_node_port(self, net: Net) -> None:
        ask = Ask(net, everything(net), two(net))
        assert ask(net.other_node, 30080, origin=Origin.EXTERNAL).verdict is Verdict.PASS
        assert ask(net.node, 80, origin=Origin.EXTERNAL).verdict is Verdict.PASS, "the port is the node port alone"

    @pytest.mark.parametrize("allowed", [False, True])
    def test_rule_20_loopback(self, net: Net, allowed: bool) -> None:
        ask = Ask(net, everything(net), two(net), localhost_nodeports=allowed)
        answer = ask(net.loopback, 30080, origin=Origin.NODE, source=net.loopback)
        serves = allowed and net is V4
        assert answer.verdict is (Verdict.DNAT if serves else Verdict.PASS)
        assert serves or answer.rule == 20
        assert answer.masquerade is serves

    def test_rule_20_a_range_that_leaves_loopback_out(self, net: Net) -> None:
        ask = Ask(net, everything(net), two(net), localhost_nodeports=True, nodeport_addresses=networks(net.node_cidr))
        assert ask(net.loopback, 30080, origin=Origin.NODE, source=net.loopback).verdict is Verdict.PASS

    def test_rule_21_a_specific_address_goes_before_a_node_port(self, net: Net) -> None:
        specific = service(net.other_service, name="other", externalIPs=[net.node], ports=[port(30080)])
        other = endpoint_slice(net.family, endpoint(net.pod_three), of="other", name="other-1")
        ask = Ask(net, everything(net), two(net), specific, other)
        assert str(ask(net.node, 30080, origin=Origin.EXTERNAL).service) == "default/other:http"
        ask = Ask(net, everything(net), two(net), specific)
        assert ask(net.node, 30080, origin=Origin.EXTERNAL).verdict is Verdict.REJECT

    def test_rule_24_no_endpoint_rejects_on_every_front_end(self, net: Net) -> None:
        ask = Ask(net, everything(net, externalTrafficPolicy="Local"))
        for address, number in (*outside(net), (net.service, 80)):
            for origin in Origin:
                assert ask(address, number, origin=origin).verdict is Verdict.REJECT

    def test_rule_22_internal_traffic_policy_does_not_govern_them(self, net: Net) -> None:
        ask = Ask(net, everything(net, internalTrafficPolicy="Local"), away(net))
        for address, number in outside(net):
            assert ask(address, number, origin=Origin.EXTERNAL).verdict is Verdict.DNAT
        assert ask().verdict is Verdict.DROP


@EVERY_NET
class TestExternalPolicyLocal:
    """Rules 22 to 24 and 27."""

    def test_from_outside_only_endpoints_here_serve_and_see_the_source(self, net: Net) -> None:
        ask = Ask(net, everything(net, externalTrafficPolicy="Local"), two(net))
        for address, number in outside(net):
            answer = ask(address, number, origin=Origin.EXTERNAL)
            assert (answer.rule, addresses(answer), answer.masquerade) == (22, [net.pod_one], False)

    def test_rule_24_none_here_drops_from_outside(self, net: Net) -> None:
        ask = Ask(net, everything(net, externalTrafficPolicy="Local"), away(net))
        for address, number in outside(net):
            answer = ask(address, number, origin=Origin.EXTERNAL)
            assert (answer.verdict, answer.rule, answer.backends) == (Verdict.DROP, 24, ())

    @pytest.mark.parametrize("slices", [two, away], ids=["one here", "none here"])
    def test_rule_23_pods_use_the_cluster_set_and_keep_their_source(self, net: Net, slices: Any) -> None:
        ask = Ask(net, everything(net, externalTrafficPolicy="Local"), slices(net))
        for address, number in outside(net):
            answer = ask(address, number, origin=Origin.POD)
            assert (answer.verdict, answer.rule) == (Verdict.DNAT, 23)
            assert net.pod_two in addresses(answer)
            assert not answer.masquerade

    @pytest.mark.parametrize("slices", [two, away], ids=["one here", "none here"])
    def test_rule_23_the_node_uses_the_cluster_set_and_is_masqueraded(self, net: Net, slices: Any) -> None:
        ask = Ask(net, everything(net, externalTrafficPolicy="Local"), slices(net))
        for address, number in outside(net):
            answer = ask(address, number, origin=Origin.NODE)
            assert (answer.verdict, answer.rule, answer.masquerade) == (Verdict.DNAT, 23, True)
            assert net.pod_two in addresses(answer)

    def test_rule_23_hints_cut_the_short_cut_s_set_too(self, net: Net) -> None:
        hinted = endpoint_slice(
            net.family,
            endpoint(net.pod_one, "here", zones=["zone-b"]),
            endpoint(net.pod_two, "away", zones=["zone-a"]),
        )
        ask = Ask(net, everything(net, externalTrafficPolicy="Local"), hinted)
        assert addresses(ask(net.lb_ip)) == [net.pod_two]
        assert addresses(ask(net.lb_ip, origin=Origin.EXTERNAL)) == [net.pod_one]

    def test_rule_23_source_ranges_come_before_the_short_cut(self, net: Net) -> None:
        each = everything(net, externalTrafficPolicy="Local", loadBalancerSourceRanges=[net.outsider_cidr])
        ask = Ask(net, each, two(net))
        assert ask(net.lb_ip, origin=Origin.POD).rule == 18


@EVERY_NET
class TestMasquerade:
    """Rules 26 to 28; the source matters, not only where it comes from."""

    @pytest.mark.parametrize(
        ("origin", "source", "settings", "expected"),
        [
            (Origin.POD, None, {}, False),
            (Origin.EXTERNAL, None, {}, True),
            (Origin.NODE, None, {}, True),
            (Origin.POD, "elsewhere", {}, True),
            (Origin.POD, None, {"cluster_cidrs": ()}, False),
            (Origin.EXTERNAL, None, {"cluster_cidrs": ()}, False),
            (Origin.NODE, None, {"cluster_cidrs": ()}, False),
            (Origin.POD, None, {"masquerade_all": True}, True),
            (Origin.EXTERNAL, None, {"masquerade_all": True, "cluster_cidrs": ()}, True),
        ],
    )
    def test_rule_26_cluster_ips(
        self, net: Net, origin: Origin, source: str | None, settings: dict[str, Any], expected: bool
    ) -> None:
        ask = Ask(net, service(net.service), two(net), **settings)
        answer = ask(origin=origin, source=source and net.stranger)
        assert answer.masquerade is expected
        assert ("rule 26" in answer.reason) is expected

    def test_rule_26_a_cluster_cidr_of_the_other_family_tells_nothing(self, net: Net) -> None:
        other = V6 if net is V4 else V4
        ask = Ask(net, service(net.service), two(net), cluster_cidrs=networks(other.cluster_cidr))
        assert not ask(origin=Origin.EXTERNAL).masquerade

    def test_rule_26_any_of_several_cluster_cidrs_will_do(self, net: Net) -> None:
        ask = Ask(net, service(net.service), two(net), cluster_cidrs=networks(net.elsewhere_cidr, net.cluster_cidr))
        assert not ask().masquerade

    @EVERY_ORIGIN
    def test_rule_27_external_front_ends_under_policy_cluster_always(self, net: Net, origin: Origin) -> None:
        ask = Ask(net, everything(net), two(net))
        for address, number in outside(net):
            answer = ask(address, number, origin=origin)
            assert answer.masquerade
            assert "rule 27" in answer.reason

    def test_rule_28_a_client_that_is_its_own_backend(self, net: Net) -> None:
        own = endpoint_slice(net.family, endpoint(net.pod_one, "here"))
        ask = Ask(net, everything(net, externalTrafficPolicy="Local"), own)
        for address, number in (*outside(net), (net.service, 80)):
            answer = ask(address, number, source=net.pod_one)
            assert answer.masquerade
            assert "rule 28" in answer.reason

    def test_rule_28_only_where_it_is_the_one_that_is_chosen(self, net: Net) -> None:
        ask = Ask(net, service(net.service), two(net))
        for number in range(1000, 1064):
            answer = ask(source=net.pod_one, source_port=number)
            assert answer.chosen is not None
            assert answer.masquerade is (format_address(answer.chosen.address) == net.pod_one)
        answer = ask(source=net.pod_one)
        assert not answer.masquerade
        assert "if the client itself is chosen, rule 28" in answer.reason

    def test_what_is_not_translated_is_not_masqueraded(self, net: Net) -> None:
        ask = Ask(net, service(net.service), masquerade_all=True)
        assert not ask().masquerade
        assert not ask(net.outsider).masquerade


@EVERY_NET
class TestObjects:
    def test_rule_11_a_later_object_of_the_same_name_replaces_the_earlier(self, net: Net) -> None:
        ask = Ask(net, service(net.service), two(net), away(net), service(net.other_service))
        assert ask().verdict is Verdict.PASS
        assert addresses(ask(net.other_service)) == [net.pod_two]

    def test_slices_may_come_before_their_service(self, net: Net) -> None:
        assert Ask(net, two(net), service(net.service))().verdict is Verdict.DNAT

    def test_a_service_of_the_same_name_in_another_namespace_is_another(self, net: Net) -> None:
        other = service(net.other_service)
        other["metadata"]["namespace"] = "kube-system"
        ask = Ask(net, service(net.service), other, two(net))
        assert ask().verdict is Verdict.DNAT
        assert ask(net.other_service).verdict is Verdict.REJECT

    def test_two_services_with_one_external_ip_the_first_by_name_gets_it(self, net: Net) -> None:
        zed = service(net.service, name="zed", externalIPs=[net.external_ip])
        ant = service(net.other_service, name="ant", externalIPs=[net.external_ip])
        for objects in ((zed, ant), (ant, zed)):
            assert str(Ask(net, *objects)(net.external_ip).service) == "default/ant:http"


def test_shares_are_the_table_s() -> None:
    backends = tuple(Backend(bytes((10, 0, 0, number)), 80) for number in range(3))
    spread = spread_over(backends)
    counts = Counter(spread.table)
    assert [share for _, share in spread.shares] == [counts[at] / len(spread.table) for at in range(3)]
    assert sum(share for _, share in spread.shares) == pytest.approx(1)
