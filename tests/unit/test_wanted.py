"""What all objects together want: incremental, and the same as if worked out from nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcnat.model import FrontEndKey, Verdict
from tcnat.resources import Object, ObjectRef, ServiceRef
from tcnat.wanted import Wanted

from .samples import DNS, DNS_IP, NODE, WEB, WEB_IP, backends, changes, made, node, service, slice_of


@pytest.fixture
def wanted() -> Wanted:
    wanted = Wanted(NODE)
    wanted.apply(
        changes(service("web"), slice_of("web", "10.0.0.1"), service("dns", DNS_IP), slice_of("dns", "10.0.0.2"))
    )
    return wanted


def test_a_service_and_its_slice_make_a_front_end(wanted: Wanted) -> None:
    assert set(wanted.front_ends) == {WEB, DNS}
    assert wanted.front_ends[WEB].backends == backends("10.0.0.1")


def test_only_the_front_end_whose_endpoints_changed_is_wanted_otherwise(wanted: Wanted) -> None:
    effect = wanted.apply(changes(slice_of("web", "10.0.0.1", "10.0.0.9", trigger="2026-01-01T00:00:00Z")))
    assert list(effect.front_ends) == [WEB]
    assert effect.front_ends[WEB].backends == backends("10.0.0.1", "10.0.0.9")  # type: ignore[union-attr]
    assert (effect.services, effect.slices, effect.triggers) == (0, 1, ["2026-01-01T00:00:00Z"])


def test_a_change_that_changes_nothing_has_no_effect(wanted: Wanted) -> None:
    assert wanted.apply(changes(slice_of("web", "10.0.0.1"), service("dns", DNS_IP))).front_ends == {}


def test_a_slice_may_come_before_its_service() -> None:
    wanted = Wanted(NODE)
    assert wanted.apply(changes(slice_of("web", "10.0.0.1"))).front_ends == {}
    assert list(wanted.apply(changes(service("web"))).front_ends) == [WEB]


def test_a_service_that_loses_its_slice_rejects_and_that_goes_is_gone(wanted: Wanted) -> None:
    effect = wanted.apply(changes(gone=(slice_of("web"),)))
    assert effect.front_ends[WEB].verdict is Verdict.REJECT  # type: ignore[union-attr]
    assert wanted.apply(changes(gone=(service("web"),))).front_ends == {WEB: None}
    assert set(wanted.front_ends) == {DNS}


def test_a_slice_that_moves_to_another_service_leaves_the_first(wanted: Wanted) -> None:
    effect = wanted.apply(changes(slice_of("dns", "10.0.0.1", name="web-1")))
    assert effect.front_ends[WEB].backends == ()  # type: ignore[union-attr]
    assert effect.front_ends[DNS].backends == backends("10.0.0.1", "10.0.0.2")  # type: ignore[union-attr]


def test_a_service_that_changes_its_port_changes_its_front_end(wanted: Wanted) -> None:
    effect = wanted.apply(changes(service("web", port=81)))
    assert effect.front_ends[WEB] is None
    assert effect.front_ends[WEB._replace(port=81)] is not None


def test_of_two_services_with_one_cluster_ip_the_first_by_name_gets_it(wanted: Wanted) -> None:
    effect = wanted.apply(changes(service("zzz"), slice_of("zzz", "10.0.0.7")))
    assert (effect.front_ends, effect.contested) == ({}, {WEB})
    assert wanted.claims == {WEB: (ServiceRef("default", "web"), ServiceRef("default", "zzz"))}
    effect = wanted.apply(changes(service("aaa"), slice_of("aaa", "10.0.0.8")))
    assert effect.front_ends[WEB].backends == backends("10.0.0.8")  # type: ignore[union-attr]
    effect = wanted.apply(changes(gone=(service("aaa"), service("web"))))
    assert effect.front_ends[WEB].backends == backends("10.0.0.7")  # type: ignore[union-attr]
    assert wanted.claims == {}
    assert wanted.apply(changes(gone=(service("zzz"),))).front_ends == {WEB: None}


def test_a_loser_that_changes_or_goes_disturbs_nobody(wanted: Wanted) -> None:
    wanted.apply(changes(service("zzz"), slice_of("zzz", "10.0.0.7")))
    assert wanted.apply(changes(slice_of("zzz", "10.0.0.6"))).front_ends == {}
    assert wanted.apply(changes(gone=(service("zzz"),))).front_ends == {}
    assert wanted.front_ends[WEB].backends == backends("10.0.0.1")


def test_the_nodes_zone_decides_hints_and_another_nodes_does_not(wanted: Wanted) -> None:
    hinted = made(
        {
            "kind": "EndpointSlice",
            "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": 8080}],
            "endpoints": [
                {"addresses": [f"10.0.0.{zone}"], "hints": {"forZones": [{"name": f"zone-{zone}"}]}} for zone in (1, 2)
            ],
        }
    )
    wanted.apply(changes(hinted))
    assert wanted.front_ends[WEB].backends == backends("10.0.0.1", "10.0.0.2")
    assert wanted.apply(changes(node("node-b", "zone-1"))).front_ends == {}
    effect = wanted.apply(changes(node(NODE, "zone-2")))
    assert effect.front_ends[WEB].backends == backends("10.0.0.2")  # type: ignore[union-attr]
    assert not wanted.node_leaves
    leaving = node(NODE, "zone-2", spec={"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]})
    assert wanted.apply(changes(leaving)).front_ends == {}
    assert wanted.node_leaves
    effect = wanted.apply(changes(gone=(leaving,)))
    assert effect.front_ends[WEB].backends == backends("10.0.0.1", "10.0.0.2")  # type: ignore[union-attr]
    assert not wanted.node_leaves


def test_front_ends_that_are_not_served_are_named(wanted: Wanted) -> None:
    web = ServiceRef("default", "web")
    effect = wanted.apply(changes(service("web", externalIPs=["192.0.2.1"])))
    assert {ref: [str(each) for each in them] for ref, them in effect.unserved.items()} == {
        web: ["externalIP 192.0.2.1:80/TCP"]
    }
    assert wanted.apply(changes(slice_of("web", "10.0.0.9"))).unserved == {}
    assert wanted.apply(changes(service("web"))).unserved == {web: ()}


NAMES = ("a", "b", "c")
SOME_OBJECT = st.one_of(
    st.builds(service, st.sampled_from(NAMES), st.sampled_from((WEB_IP, DNS_IP)), st.sampled_from((80, 81))),
    st.builds(
        lambda owner, ips, number: slice_of(owner, *ips, name=f"slice-{number}"),
        st.sampled_from(NAMES),
        st.sets(st.sampled_from(("10.0.0.1", "10.0.0.2", "10.0.0.3"))).map(sorted),
        st.integers(0, 3),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(SOME_OBJECT, st.booleans()), max_size=25))
def test_step_by_step_comes_to_the_same_as_from_nothing(history: list[tuple[Object, bool]]) -> None:
    wanted = Wanted(NODE)
    told: dict[FrontEndKey, Any] = {}
    present: dict[ObjectRef, Object] = {}
    for found, stays in history:
        if stays:
            present[found.ref] = found
        else:
            present.pop(found.ref, None)
        effect = wanted.apply({found.ref: found if stays else None})
        told = {key: front_end for key, front_end in {**told, **effect.front_ends}.items() if front_end is not None}
    fresh = Wanted(NODE)
    fresh.apply(present)  # type: ignore[arg-type]
    assert wanted.front_ends == fresh.front_ends == told
    assert wanted.claims == fresh.claims


def test_an_address_is_local_as_long_as_an_endpoint_on_this_node_has_it() -> None:
    wanted = Wanted(NODE)
    one, other = (slice_of("web", "10.0.0.1", name=name, nodeName=NODE) for name in ("web-1", "web-2"))
    wanted.apply(changes(one, other))
    wanted.apply(changes(gone=(one,)))
    assert set(wanted.local_addresses) == {bytes((10, 0, 0, 1))}
    wanted.apply(changes(slice_of("web", "10.0.0.1", name="web-2", nodeName="another")))
    assert not wanted.local_addresses
