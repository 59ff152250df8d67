"""Reading API objects: what is good, and one line for what is not."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tcnat.model import Protocol, format_address
from tcnat.objects import ObjectRef, Problem, kind_of, parse_documents, parse_object
from tcnat.resources import EndpointSlice, Node, Service
from tests.unit.kube import V4, V6, Json, endpoint, endpoint_slice, parse, port, service


def read(text: str | bytes) -> list[str]:
    """The objects' names, and the problems' texts, in order."""
    return [str(found) if isinstance(found, Problem) else str(found.ref) for found in parse_documents(text, "f")]


WEB = service(V4.service)
OTHER = service(V4.other_service, name="other")
SLICE = endpoint_slice("IPv4", endpoint(V4.pod_one))
BROKEN = {**WEB, "spec": {**WEB["spec"], "ports": [{"port": 0}]}}


class TestForms:
    """The forms in which kubectl and people write objects."""

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(json.dumps(WEB), id="one JSON object"),
            pytest.param(json.dumps(WEB, indent=2), id="one JSON object over several lines"),
            pytest.param(yaml.safe_dump(WEB), id="one YAML document"),
            pytest.param("---\n" + yaml.safe_dump(WEB) + "---\n", id="YAML with marks before and after"),
            pytest.param("# by hand\n---\n# a comment\n" + yaml.safe_dump(WEB), id="comments before and after a mark"),
            pytest.param(yaml.safe_dump(WEB, default_flow_style=True), id="YAML that begins with a brace"),
            pytest.param(yaml.safe_dump(WEB).replace("\n", "\r\n"), id="YAML with the line ends of Windows"),
            pytest.param("\ufeff" + yaml.safe_dump(WEB), id="YAML with a byte-order mark"),
            pytest.param(json.dumps({"kind": "List", "apiVersion": "v1", "items": [WEB]}), id="a List in JSON"),
            pytest.param(yaml.safe_dump({"kind": "List", "apiVersion": "v1", "items": [WEB]}), id="a List in YAML"),
        ],
    )
    def test_one_service(self, text: str) -> None:
        assert read(text) == ["Service default/web"]
        assert read(text.encode()) == ["Service default/web"]

    def test_several_yaml_documents_come_in_order(self) -> None:
        assert read(yaml.safe_dump_all([WEB, None, SLICE])) == ["Service default/web", "EndpointSlice default/web-1"]

    def test_several_json_documents_come_in_order(self) -> None:
        assert read(json.dumps(WEB) + "\n" + json.dumps(SLICE) + " ") == [
            "Service default/web",
            "EndpointSlice default/web-1",
        ]

    def test_json_documents_between_yaml_s_marks(self) -> None:
        assert read(f"{json.dumps(WEB)}\n---\n{json.dumps(SLICE)}\n") == [
            "Service default/web",
            "EndpointSlice default/web-1",
        ]

    def test_items_of_an_api_server_s_list_need_not_say_what_they_are(self) -> None:
        bare = {name: value for name, value in WEB.items() if name not in {"kind", "apiVersion"}}
        assert read(json.dumps({"kind": "ServiceList", "apiVersion": "v1", "items": [bare]})) == ["Service default/web"]

    def test_an_empty_list_and_a_list_of_null_hold_nothing(self) -> None:
        assert read('{"kind": "ServiceList", "apiVersion": "v1", "items": []}') == []
        slice_of_null = '{"kind": "EndpointSlice", "metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": null}'
        assert read(slice_of_null) == ["EndpointSlice default/a"]

    def test_kinds_that_are_not_used_are_left_out(self) -> None:
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}}
        knative = {"kind": "Service", "apiVersion": "serving.knative.dev/v1", "metadata": {"name": "k"}}
        assert read(yaml.safe_dump_all([pod, knative, WEB])) == ["Service default/web"]

    def test_nothing_is_nothing(self) -> None:
        assert read("") == read("---\n") == read("# only words\n") == []

    def test_dates_and_odd_numbers_in_yaml_are_text(self) -> None:
        metadata = "{name: a, creationTimestamp: 2024-01-01T00:00:00Z, labels: {x: 12:30}}"
        assert read(f"kind: Service\nmetadata: {metadata}\nspec: {{}}\n") == ["Service default/a"]

    def test_an_ipv6_address_of_digits_alone_in_yaml_is_no_number_with_base_60(self) -> None:
        text = "kind: Service\nmetadata: {name: a}\nspec:\n  clusterIP: 20:1:2:3:4:5:6:7\n"
        (found,) = parse_documents(text, "f")
        assert isinstance(found, Service)
        assert format_address(found.cluster_ips[0]) == "20:1:2:3:4:5:6:7"

    def test_raw_objects_of_an_api_server_s_list(self) -> None:
        found = parse_object(b'{"metadata": {"name": "a"}}', "server", kind_of("Service", "v1"))
        assert isinstance(found, Service)
        assert parse_object(b'{"kind": "Pod", "apiVersion": "v1"}', "server") is None


class TestProblems:
    """What cannot be used is named in one line: where, object, field."""

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"spec": {"ports": [{"port": 0}]}}, "spec.ports[0].port: expected int >= 1"),
            ({"spec": {"ports": [{"port": 65536}]}}, "spec.ports[0].port: expected int <= 65535"),
            ({"spec": {"ports": [{"port": "80"}]}}, "spec.ports[0].port: expected int, got str"),
            ({"spec": {"ports": [{}]}}, "spec.ports[0]: missing field port"),
            ({"spec": {"ports": [{"port": 1, "protocol": "X"}]}}, "spec.ports[0].protocol: invalid enum value 'X'"),
            ({"spec": {"clusterIP": "10.0.0.300"}}, "spec.clusterIP: '10.0.0.300' is not an IP address"),
            (
                {"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::x"]}},
                "spec.clusterIPs[1]: 'fd00::x' is not an IP address",
            ),
            ({"spec": {"externalIPs": ["a"]}}, "spec.externalIPs[0]: 'a' is not an IP address"),
            (
                {"spec": {"loadBalancerSourceRanges": ["10.0.0.1"]}},
                "spec.loadBalancerSourceRanges[0]: '10.0.0.1' is not a CIDR",
            ),
            (
                {"status": {"loadBalancer": {"ingress": [{"ip": "x"}]}}},
                "status.loadBalancer.ingress[0].ip: 'x' is not an IP address",
            ),
            ({"spec": {"sessionAffinity": "Cookie"}}, "spec.sessionAffinity: invalid enum value 'Cookie'"),
            ({"apiVersion": "v2"}, "apiVersion: v2 is not known; known are v1"),
        ],
    )
    def test_a_service_s(self, changed: Json, message: str) -> None:
        broken = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web"}, **changed}
        assert read(json.dumps(broken)) == [f"f: Service default/web: {message}"]
        assert read(yaml.safe_dump(broken)) == [f"f: Service default/web: {message}"]

    @pytest.mark.parametrize(
        ("broken", "message"),
        [
            (
                endpoint_slice("IPv4", endpoint(V4.pod_one), endpoint("10.0.0")),
                "EndpointSlice default/web-1: endpoints[1].addresses[0]: '10.0.0' is not an IP address",
            ),
            (
                endpoint_slice("IPX"),
                "EndpointSlice default/web-1: addressType: invalid enum value 'IPX'",
            ),
            (
                endpoint_slice("IPv4", version="v2"),
                "EndpointSlice default/web-1: apiVersion: discovery.k8s.io/v2 is not known; "
                "known are discovery.k8s.io/v1, discovery.k8s.io/v1beta1",
            ),
            (
                {"kind": "Endpoints", "metadata": {"name": "e"}, "subsets": [{"notReadyAddresses": [{"ip": ""}]}]},
                "Endpoints default/e: subsets[0].notReadyAddresses[0].ip: '' is not an IP address",
            ),
            (
                {"kind": "Node", "metadata": {"name": "n"}, "status": {"addresses": [{"type": "InternalIP"}]}},
                "Node n: status.addresses[0]: missing field address",
            ),
            ({"kind": "Node", "metadata": {"name": ""}}, "metadata.name: expected str of length >= 1"),
            ({"kind": "Service"}, "missing field metadata"),
            ({"metadata": {"name": "a"}}, "kind: an object must say what it is"),
            ({"kind": 3}, "kind: expected str | null, got int"),
        ],
    )
    def test_other_objects(self, broken: Json, message: str) -> None:
        assert read(json.dumps(broken)) == [f"f: {message}"]

    def test_an_item_without_a_name_is_named_by_its_place(self) -> None:
        items = [WEB, {"kind": "Service", "metadata": {"name": 3}}, {"metadata": {}}]
        assert read(json.dumps({"kind": "List", "items": items})) == [
            "Service default/web",
            "f: items[1]: metadata.name: expected str, got int",
            "f: items[2]: kind: an object must say what it is",
        ]

    @pytest.mark.parametrize("dump", [json.dumps, yaml.safe_dump])
    def test_a_broken_object_holds_up_no_other(self, dump: Any) -> None:
        text = dump({"kind": "List", "apiVersion": "v1", "items": [OTHER, BROKEN, SLICE]})
        assert read(text) == [
            "Service default/other",
            "f: Service default/web: spec.ports[0].port: expected int >= 1",
            "EndpointSlice default/web-1",
        ]

    def test_a_problem_tells_which_object_it_is_about(self) -> None:
        (found,) = parse_documents(json.dumps(BROKEN), "f")
        assert isinstance(found, Problem)
        assert found.ref == ObjectRef("Service", "default", "web")

    def test_a_broken_yaml_document_holds_up_no_other(self) -> None:
        text = yaml.safe_dump(WEB) + "---\nkind: [\n---\n" + yaml.safe_dump(SLICE)
        line = yaml.safe_dump(WEB).count("\n") + 3
        assert read(text) == [
            "Service default/web",
            f"f:{line}:1: not YAML: did not find expected node content",
            "EndpointSlice default/web-1",
        ]

    def test_a_truncated_json_file_says_where(self) -> None:
        text = json.dumps(WEB, indent=1)
        found = read(text[: len(text) // 2])
        assert len(found) == 1
        assert found[0].startswith(f"f:{text[: len(text) // 2].count(chr(10)) + 1}:")
        assert "not JSON" in found[0]

    def test_json_that_goes_on_with_rubbish_gives_what_came_before(self) -> None:
        found = read(json.dumps(WEB) + "}")
        assert found[0] == "Service default/web"
        assert "not JSON" in found[1]
        assert len(found) == 2

    @pytest.mark.parametrize("text", ["hello", "- 1\n- 2\n", "[]", "7"])
    def test_what_is_no_object_is_one_problem(self, text: str) -> None:
        (found,) = parse_documents(text, "f")
        assert isinstance(found, Problem)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"\xff\xfe\x00", id="half of UTF-16"),
            pytest.param(b'{"kind": "\xff"}', id="JSON that is not UTF-8"),
            pytest.param(b'{"kind": "\\q"}', id="JSON with an escape that there is not"),
            pytest.param(b"\x00\x01", id="binary"),
            pytest.param(b"kind: \x80abc", id="YAML that is not UTF-8"),
            pytest.param(b'{"a":' * 100000, id="JSON nested deeply and cut off"),
            pytest.param(b'{"a":' * 100000 + b"1" + b"}" * 100000, id="JSON nested deeply"),
            pytest.param(b"[" * 100000 + b"]" * 100000, id="YAML nested deeply"),
            pytest.param(b"- " * 100000, id="YAML of lists nested deeply"),
        ],
    )
    def test_what_is_no_text_is_one_problem(self, data: bytes) -> None:
        (found,) = parse_documents(data, "f")
        assert isinstance(found, Problem)
        assert "\n" not in str(found)


class TestFields:
    """What is kept of each object."""

    def test_a_service_s_defaults(self) -> None:
        (found,) = parse({"kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}})
        assert isinstance(found, Service)
        assert (found.namespace, found.type, found.watched) == ("default", "ClusterIP", True)
        assert [(each.name, each.protocol, each.node_port) for each in found.ports] == [("", Protocol.TCP, 0)]
        assert not found.internal_local
        assert not found.external_local
        assert found.affinity_seconds == 0

    def test_null_is_as_good_as_nothing(self) -> None:
        nothing = dict.fromkeys(("type", "clusterIP", "clusterIPs", "externalIPs", "ports", "sessionAffinity"))
        metadata = {"name": "a", "labels": None, "annotations": None}
        (found,) = parse({"kind": "Service", "metadata": metadata, "spec": nothing, "status": None})
        assert isinstance(found, Service)
        assert found.ports == ()

    @pytest.mark.parametrize(
        ("spec", "seconds"),
        [
            pytest.param({}, 0, id="rule 29: none unless asked for"),
            pytest.param({"sessionAffinity": "None"}, 0, id="rule 29: None"),
            pytest.param({"sessionAffinity": "ClientIP"}, 10800, id="rule 29: three hours by default"),
            pytest.param(
                {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}},
                60,
                id="rule 29: as configured",
            ),
            pytest.param(
                {"sessionAffinity": "None", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}},
                0,
                id="rule 29: a time-out alone is no affinity",
            ),
        ],
    )
    def test_affinity(self, spec: Json, seconds: int) -> None:
        (found,) = parse(service(V4.service, **spec))
        assert isinstance(found, Service)
        assert found.affinity_seconds == seconds

    @pytest.mark.parametrize(
        ("ingress", "count"),
        [
            pytest.param({"ip": V4.lb_ip}, 1, id="rule 17: ipMode unset is a front end"),
            pytest.param({"ip": V4.lb_ip, "ipMode": "VIP"}, 1, id="rule 17: VIP is one"),
            pytest.param({"ip": V4.lb_ip, "ipMode": "Proxy"}, 0, id="rule 17: Proxy is none"),
            pytest.param({"hostname": "lb.example"}, 0, id="a host name is none"),
            pytest.param({"ip": "", "hostname": "lb.example"}, 0, id="an empty IP is none"),
        ],
    )
    def test_ingress(self, ingress: Json, count: int) -> None:
        (found,) = parse(service(V4.service, ingress=[ingress], loadBalancerIP=V4.other_lb_ip))
        assert isinstance(found, Service)
        assert len(found.ingress_ips) == count

    def test_a_v1_slice(self) -> None:
        (found,) = parse(
            endpoint_slice("IPv6", endpoint(V6.pod_one, "n1", ready=False, serving=True, terminating=True, zones=["a"]))
        )
        assert isinstance(found, EndpointSlice)
        (group,) = found.groups
        (only,) = group.endpoints
        assert (only.ready, only.serving, only.terminating, only.node) == (False, True, True, "n1")
        assert only.zone_hints == ("a",)
        assert found.service_name == "web"

    @pytest.mark.parametrize(
        ("given", "node"),
        [
            pytest.param({"topology": {"kubernetes.io/hostname": "n1"}}, "n1", id="rule 38: topology's hostname"),
            pytest.param({"topology": {"topology.kubernetes.io/zone": "z"}}, "", id="rule 38: topology without it"),
            pytest.param(
                {"nodeName": "n2", "topology": {"kubernetes.io/hostname": "n1"}}, "n2", id="nodeName goes before it"
            ),
        ],
    )
    def test_a_v1beta1_slice(self, given: Json, node: str) -> None:
        (found,) = parse(endpoint_slice("IPv4", {"addresses": [V4.pod_one], **given}, version="v1beta1"))
        assert isinstance(found, EndpointSlice)
        assert found.groups[0].endpoints[0].node == node

    def test_rule_36_the_trigger_s_time_is_kept(self) -> None:
        each = endpoint_slice("IPv4")
        each["metadata"]["annotations"] = {"endpoints.kubernetes.io/last-change-trigger-time": "2024-01-01T00:00:00Z"}
        (found,) = parse(each)
        assert isinstance(found, EndpointSlice)
        assert found.trigger_time == "2024-01-01T00:00:00Z"

    def test_core_endpoints_are_slices_of_the_service_of_their_name(self) -> None:
        subset = {
            "addresses": [{"ip": V4.pod_one, "nodeName": "n1"}, {"ip": V6.pod_one}],
            "notReadyAddresses": [{"ip": V4.pod_two}],
            "ports": [{"port": 8080}, {"name": "udp", "port": 53, "protocol": "UDP"}],
        }
        (found,) = parse({"kind": "Endpoints", "apiVersion": "v1", "metadata": {"name": "web"}, "subsets": [subset]})
        assert isinstance(found, EndpointSlice)
        assert (found.kind, found.service_name) == ("Endpoints", "web")
        (group,) = found.groups
        assert [(each.node, each.ready) for each in group.endpoints] == [("n1", True), ("", True), ("", False)]
        assert [(each.name, each.port) for each in group.ports] == [("", 8080), ("udp", 53)]

    def test_a_node(self) -> None:
        addresses = [
            {"type": "InternalIP", "address": V4.node},
            {"type": "Hostname", "address": "n1"},
            {"type": "ExternalIP", "address": V6.node},
        ]
        labels = {"topology.kubernetes.io/zone": "z1", "failure-domain.beta.kubernetes.io/zone": "old"}
        (found,) = parse(
            {"kind": "Node", "metadata": {"name": "n1", "labels": labels}, "status": {"addresses": addresses}}
        )
        assert isinstance(found, Node)
        assert [format_address(address) for address in found.addresses] == [V4.node, V6.node]
        assert (found.zone, found.leaving, str(found.ref)) == ("z1", False, "Node n1")

    @pytest.mark.parametrize(
        "leaving",
        [
            {"metadata": {"name": "n", "deletionTimestamp": "2024-01-01T00:00:00Z"}},
            {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a"}, {"key": "ToBeDeletedByClusterAutoscaler"}]}},
        ],
    )
    def test_rule_33_a_node_that_is_on_its_way_out(self, leaving: Json) -> None:
        (found,) = parse({"kind": "Node", **leaving})
        assert isinstance(found, Node)
        assert found.leaving


def test_5000_services_of_3_endpoints_are_read_in_time() -> None:
    """A generous bound: it is there to notice another order of magnitude."""
    items: list[Json] = []
    for number in range(5000):
        name = f"web-{number}"
        items.append(service(V4.service, name=name, ports=[port()]))
        items.append(endpoint_slice("IPv4", *(endpoint(V4.pod_one, "n") for _ in range(3)), name=name, of=name))
    text = json.dumps({"kind": "List", "items": items})
    start = time.process_time()
    assert sum(1 for _ in parse_documents(text, "f")) == 10000
    assert time.process_time() - start < 2


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=6,
)
NODE: Json = {
    "kind": "Node",
    "apiVersion": "v1",
    "metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1"}},
    "status": {"addresses": [{"type": "InternalIP", "address": V4.node}]},
}
CORE: Json = {
    "kind": "Endpoints",
    "apiVersion": "v1",
    "metadata": {"name": "web"},
    "subsets": [{"addresses": [{"ip": V4.pod_one, "nodeName": "n1"}], "ports": [{"name": "http", "port": 80}]}],
}
FULL = service(
    V4.service,
    ingress=[{"ip": V4.lb_ip}],
    externalIPs=[V4.external_ip],
    loadBalancerSourceRanges=[V4.node_cidr],
    sessionAffinity="ClientIP",
    sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}},
)
HINTED = endpoint_slice("IPv4", endpoint(V4.pod_one, "n1", ready=True, zones=["a"], nodes=["n1"]), labels={"a": "b"})


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inside for found in places(one, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with the value at the path replaced."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


@given(st.sampled_from([FULL, HINTED, CORE, NODE]), JSON_VALUES, st.data())
def test_whatever_stands_in_a_field_it_is_an_object_or_one_problem(each: Json, value: Any, data: st.DataObject) -> None:
    broken = replaced(each, data.draw(st.sampled_from(places(each))), value)
    for text in (json.dumps({"kind": "List", "items": [broken, OTHER]}), yaml.safe_dump_all([broken, OTHER])):
        found = list(parse_documents(text, "f"))
        assert str(found[-1].ref) == "Service default/other"
        assert len(found) <= 2 or isinstance(broken, dict)
        assert all("\n" not in str(one) for one in found if isinstance(one, Problem))


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_whatever_a_file_holds_it_is_read_without_an_exception(text: str | bytes) -> None:
    assert all(len(str(found).splitlines()) == 1 for found in parse_documents(text, "f") if isinstance(found, Problem))


@given(st.sampled_from([json.dumps, yaml.safe_dump]), st.data())
def test_a_file_that_is_cut_off_is_read_without_an_exception(dump: Any, data: st.DataObject) -> None:
    text = dump({"kind": "List", "items": [FULL, HINTED, CORE, NODE]})
    for found in parse_documents(text[: data.draw(st.integers(0, len(text)))], "f"):
        assert not isinstance(found, Problem) or len(str(found).splitlines()) == 1
