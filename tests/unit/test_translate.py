"""From a Service and its slices to what the datapath serves, in both families."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tcnat.model import Backend, FrontEnd, FrontEndKey, NodeInfo, Protocol, Verdict, format_address, parse_address
from tcnat.services import ServicePort, service_ports, why_skipped
from tcnat.translate import HealthCheck, Translation, translate
from tests.unit.kube import (
    BOTH,
    V4,
    V6,
    Json,
    Net,
    endpoint,
    endpoint_slice,
    parse_service,
    parse_slices,
    port,
    service,
)

HERE = NodeInfo("here", "zone-a")
EVERY_NET = pytest.mark.parametrize("net", BOTH, ids=str)
DRAINING: Json = {"ready": False, "serving": True, "terminating": True}
BALANCER: Json = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}
DEAD: Json = {"ready": False, "serving": False}


def wants(each: Json, *slices: Json) -> Translation:
    """What the Service wants on this node."""
    return translate(parse_service(each), parse_slices(*slices), HERE)


def only(each: Json, *slices: Json) -> FrontEnd:
    """The Service's one front end."""
    (found,) = wants(each, *slices).front_ends
    return found


def only_port(each: Json) -> ServicePort:
    """The Service's one port in one family."""
    (found,) = service_ports(parse_service(each), ())
    return found


def addresses(front_end: FrontEnd) -> list[str]:
    """Its backends' addresses."""
    return [format_address(backend.address) for backend in front_end.backends]


@EVERY_NET
class TestWhichServicesCount:
    """Rules 1 and 2."""

    @pytest.mark.parametrize(
        ("changed", "rule"),
        [
            pytest.param(
                {"labels": {"service.kubernetes.io/service-proxy-name": "other"}}, 1, id="rule 1: another proxy's"
            ),
            pytest.param(
                {"labels": {"service.kubernetes.io/service-proxy-name": ""}}, 1, id="rule 1: whatever its value"
            ),
            pytest.param({"labels": {"service.kubernetes.io/headless": ""}}, 1, id="rule 1: labelled headless"),
            pytest.param(
                {"labels": {"service.kubernetes.io/headless": None}}, 1, id="rule 1: labelled without a value"
            ),
            pytest.param({"clusterIP": "None", "clusterIPs": ["None"]}, 2, id="rule 2: headless"),
            pytest.param({"clusterIP": ""}, 2, id="rule 2: no clusterIP"),
            pytest.param({"clusterIP": None, "clusterIPs": None}, 2, id="rule 2: none at all"),
            pytest.param({"type": "ExternalName"}, 2, id="rule 2: an ExternalName with a clusterIP"),
        ],
    )
    def test_skipped(self, net: Net, changed: dict[str, Any], rule: int) -> None:
        each = service(net.service, ports=[port(node_port=30080)], externalIPs=[net.external_ip], **changed)
        assert wants(each, endpoint_slice(net.family, endpoint(net.pod_one))) == Translation()
        why = why_skipped(parse_service(each))
        assert why is not None
        assert why[0] == rule

    def test_other_labels_do_not_matter(self, net: Net) -> None:
        assert wants(service(net.service, labels={"app": "web"})).front_ends


@EVERY_NET
class TestFrontEnds:
    """Rules 4, 6, 7, 8, 12, 22 and 24 for cluster IPs."""

    def test_a_service_with_two_ready_endpoints(self, net: Net) -> None:
        found = only(service(net.service), endpoint_slice(net.family, endpoint(net.pod_two), endpoint(net.pod_one)))
        assert found == FrontEnd(
            key=FrontEndKey(parse_address(net.service), 80, Protocol.TCP),
            service=found.service,
            verdict=Verdict.DNAT,
            backends=(Backend(parse_address(net.pod_one), 8080), Backend(parse_address(net.pod_two), 8080)),
        )
        assert str(found.service) == "default/web:http"

    def test_rule_8_one_number_in_three_protocols_is_three_ports(self, net: Net) -> None:
        protocols = ("TCP", "UDP", "SCTP")
        each = service(net.service, ports=[port(53, "dns", protocol) for protocol in protocols])
        ports = [{"name": "dns", "port": 5300 + at, "protocol": name} for at, name in enumerate(protocols)]
        found = wants(each, endpoint_slice(net.family, endpoint(net.pod_one), ports=ports)).front_ends
        assert {(one.key.protocol.name, one.backends[0].port) for one in found} == {
            ("TCP", 5300),
            ("UDP", 5301),
            ("SCTP", 5302),
        }

    def test_rule_4_the_target_port_is_never_read(self, net: Net) -> None:
        each = service(net.service, ports=[{**port(), "targetPort": 9999}])
        found = only(each, endpoint_slice(net.family, endpoint(net.pod_one)))
        assert [backend.port for backend in found.backends] == [8080]

    def test_rule_4_a_port_without_a_name_joins_one_with_an_empty_name(self, net: Net) -> None:
        each = service(net.service, ports=[{"port": 80}])
        slices = endpoint_slice(
            net.family, endpoint(net.pod_one), ports=[{"name": "", "port": 8080, "protocol": "TCP"}]
        )
        assert addresses(only(each, slices)) == [net.pod_one]

    def test_rule_24_no_endpoint_rejects(self, net: Net) -> None:
        assert only(service(net.service)).verdict is Verdict.REJECT
        assert (
            only(service(net.service), endpoint_slice(net.family, endpoint(net.pod_one, **DEAD))).verdict
            is Verdict.REJECT
        )

    @pytest.mark.parametrize(
        ("endpoints", "verdict"),
        [
            pytest.param(
                {"one": {"node": "here"}, "two": {"node": "away"}}, Verdict.DNAT, id="rule 22: one here serves"
            ),
            pytest.param({"two": {"node": "away"}}, Verdict.DROP, id="rule 24: one elsewhere only: drop"),
            pytest.param(
                {"two": {"node": "away", **DRAINING}}, Verdict.DROP, id="rule 24: elsewhere terminating: drop"
            ),
            pytest.param({"two": {"node": "away", **DEAD}}, Verdict.REJECT, id="rule 24: none that serves: reject"),
            pytest.param({}, Verdict.REJECT, id="rule 24: none at all: reject"),
            pytest.param(
                {"one": {"node": "here", **DRAINING}}, Verdict.DNAT, id="rule 12: a terminating one here serves"
            ),
        ],
    )
    def test_internal_traffic_policy_local(self, net: Net, endpoints: dict[str, Json], verdict: Verdict) -> None:
        given = [endpoint(getattr(net, f"pod_{name}"), **options) for name, options in endpoints.items()]
        found = only(service(net.service, internalTrafficPolicy="Local"), endpoint_slice(net.family, *given))
        assert found.verdict is verdict
        assert addresses(found) == ([net.pod_one] if verdict is Verdict.DNAT else [])

    def test_rule_22_external_traffic_policy_does_not_govern_the_cluster_ip(self, net: Net) -> None:
        each = service(net.service, externalTrafficPolicy="Local", type="NodePort", ports=[port(node_port=30080)])
        found = only(each, endpoint_slice(net.family, endpoint(net.pod_two, "away")))
        assert (found.verdict, addresses(found)) == (Verdict.DNAT, [net.pod_two])

    @pytest.mark.parametrize(
        ("given", "means"),
        [
            pytest.param({}, False, id="rule 22: nothing external"),
            pytest.param({"externalIPs": ["external_ip"]}, True, id="an external IP"),
            pytest.param({"ports": [port(node_port=30080)]}, True, id="a node port"),
            pytest.param({"ingress": [{"ip": "lb_ip"}]}, True, id="a load balancer"),
            pytest.param(
                {"ingress": [{"ip": "lb_ip", "ipMode": "Proxy"}]}, False, id="rule 17: a proxying load balancer"
            ),
        ],
    )
    def test_rule_22_external_policy_local_means_something_only_with(
        self, net: Net, given: dict[str, Any], means: bool
    ) -> None:
        options: dict[str, Any] = {
            **given,
            "externalIPs": [net.external_ip for _ in given.get("externalIPs", ())],
            "ingress": [{**entry, "ip": net.lb_ip} for entry in given.get("ingress", ())],
        }
        assert only_port(service(net.service, externalTrafficPolicy="Local", **options)).external_local is means

    def test_rule_29_affinity_goes_along(self, net: Net) -> None:
        assert only(service(net.service, sessionAffinity="ClientIP")).affinity_seconds == 10800

    def test_rule_6_the_other_family_s_addresses_stay_out(self, net: Net) -> None:
        other = V6 if net is V4 else V4
        each = service(
            net.service,
            externalIPs=[other.external_ip, net.external_ip],
            ingress=[{"ip": other.lb_ip}, {"ip": net.lb_ip}],
            loadBalancerSourceRanges=[other.outsider_cidr, f" {net.outsider_cidr} "],
        )
        found = only_port(each)
        assert [format_address(address) for address in found.external_ips] == [net.external_ip]
        assert [format_address(address) for address in found.ingress_ips] == [net.lb_ip]
        assert [str(network) for network in found.source_ranges] == [net.outsider_cidr]


class TestDualStack:
    """Rule 6."""

    EACH = service(V4.service, V6.service, ports=[port(), port(53, "dns", "UDP")])

    def test_each_family_has_its_own_front_ends_and_backends(self) -> None:
        slices = (
            endpoint_slice("IPv4", endpoint(V4.pod_one), name="web-4"),
            endpoint_slice("IPv6", endpoint(V6.pod_one), endpoint(V6.pod_two), name="web-6"),
        )
        found = {str(each.key): addresses(each) for each in wants(self.EACH, *slices).front_ends}
        assert found == {
            f"{V4.service}:80/TCP": [V4.pod_one],
            f"{V4.service}:53/UDP": [],
            f"[{V6.service}]:80/TCP": [V6.pod_one, V6.pod_two],
            f"[{V6.service}]:53/UDP": [],
        }

    def test_a_family_without_endpoints_rejects_by_itself(self) -> None:
        found = wants(self.EACH, endpoint_slice("IPv4", endpoint(V4.pod_one))).front_ends
        assert {(each.key.family, each.key.port): each.verdict for each in found} == {
            (4, 80): Verdict.DNAT,
            (4, 53): Verdict.REJECT,
            (6, 80): Verdict.REJECT,
            (6, 53): Verdict.REJECT,
        }

    def test_the_first_cluster_ip_may_be_ipv6(self) -> None:
        found = wants(service(V6.service, V4.service)).front_ends
        assert [each.key.family for each in found] == [4, 6]

    def test_a_family_without_a_cluster_ip_has_no_front_end_of_any_kind(self) -> None:
        each = service(
            V4.service, externalIPs=[V6.external_ip], ingress=[{"ip": V6.lb_ip}], ports=[port(node_port=30080)]
        )
        assert {unserved.kind for unserved in wants(each).unserved} == {"nodePort"}

    def test_cluster_ip_alone_is_enough(self) -> None:
        each = service(V6.service)
        each["spec"]["clusterIPs"] = None
        assert [one.key.family for one in wants(each).front_ends] == [6]


@EVERY_NET
def test_rule_16_front_ends_that_the_datapath_does_not_serve_are_named(net: Net) -> None:
    each = service(
        net.service,
        type="LoadBalancer",
        externalIPs=[net.external_ip],
        ingress=[{"ip": net.lb_ip}, {"ip": net.other_lb_ip, "ipMode": "Proxy"}],
        ports=[port(node_port=30080)],
    )
    bracket = "[%s]" if net is V6 else "%s"
    assert [str(unserved) for unserved in wants(each).unserved] == [
        f"externalIP {bracket % net.external_ip}:80/TCP",
        f"loadBalancer {bracket % net.lb_ip}:80/TCP",
        "nodePort 30080/TCP",
    ]


@EVERY_NET
class TestHealthCheck:
    """Rule 32."""

    def test_it_counts_the_ready_addresses_on_this_node(self, net: Net) -> None:
        slices = endpoint_slice(
            net.family,
            endpoint(net.pod_one, "here"),
            endpoint(net.pod_two, "away"),
            endpoint(net.pod_three, "here", **DRAINING),
            endpoint(net.pod_client, "here", ready=True, terminating=True),
        )
        assert wants(service(net.service, **BALANCER), slices).health_check == HealthCheck(31000, 1)

    def test_endpoints_on_one_address_count_once(self, net: Net) -> None:
        ports = [{"name": "http", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}]
        slices = endpoint_slice(net.family, endpoint(net.pod_one, "here"), ports=ports)
        assert wants(service(net.service, **BALANCER), slices).health_check == HealthCheck(31000, 1)

    def test_a_dual_stack_pod_counts_once(self, net: Net) -> None:
        other = V6 if net is V4 else V4
        slices = (
            endpoint_slice(net.family, endpoint(net.pod_one, "here"), name="a"),
            endpoint_slice(other.family, endpoint(other.pod_one, "here"), endpoint(other.pod_two, "here"), name="b"),
        )
        found = wants(service(net.service, other.service, **BALANCER), *slices)
        assert found.health_check == HealthCheck(31000, 1)

    @pytest.mark.parametrize(
        "changed", [{"type": "NodePort"}, {"externalTrafficPolicy": "Cluster"}, {"healthCheckNodePort": 0}]
    )
    def test_other_services_have_none(self, net: Net, changed: Json) -> None:
        assert wants(service(net.service, **{**BALANCER, **changed})).health_check is None


def test_5000_services_of_3_endpoints_are_translated_in_time() -> None:
    """A generous bound: it is there to notice another order of magnitude."""
    each = parse_service(service(V4.service))
    slices = parse_slices(
        endpoint_slice("IPv4", *(endpoint(address, "n") for address in (V4.pod_one, V4.pod_two, V4.pod_three)))
    )
    start = time.process_time()
    for _ in range(5000):
        translate(each, slices, HERE)
    assert time.process_time() - start < 1.5
