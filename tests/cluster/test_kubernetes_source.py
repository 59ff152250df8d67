"""The Kubernetes source against a server that misbehaves in every way that one can."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcnat.objects import EndpointSlice, ObjectRef, Service
from tcnat.sources.kubernetes import api, discovery, reflector

from .following import WEB, WEB_SLICE, Following, endpoint_slice, service
from .standin import (
    ENDPOINTS,
    NODES,
    SERVICES,
    SLICES_V1,
    SLICES_V1BETA1,
    StandIn,
    serving,
)


def test_rule_9_nothing_is_synced_before_services_and_endpoints_are_listed(server: tuple[StandIn, Path]) -> None:
    state, kubeconfig = server
    state.faults.status[SLICES_V1] = 503
    made = Following(kubeconfig)
    made.until(lambda: made.source.problems, "the trouble")
    made.until(lambda: WEB in made.objects, "the Service")
    assert not made.source.synced
    state.faults.status.clear()
    made.synced()
    assert made.endpoints() == 1
    made.until(lambda: not made.source.problems, "the trouble's end")
    made.source.stop()


def test_changes_arrive_as_they_are_made(server: tuple[StandIn, Path], following: Following) -> None:
    state, _ = server
    state.put(SLICES_V1, endpoint_slice("10.1.0.1", "10.1.0.2"))
    following.until(lambda: following.endpoints() == 2, "the second endpoint")
    state.delete(SERVICES, "shop", "web")
    following.until(lambda: WEB not in following.objects, "the deletion")


def test_rule_1_is_asked_of_the_server(server: tuple[StandIn, Path]) -> None:
    state, kubeconfig = server
    state.put(SERVICES, service("mine", **{"service.kubernetes.io/service-proxy-name": "tcnat"}))
    others, mine = Following(kubeconfig).synced(), Following(kubeconfig, "tcnat").synced()
    assert {ref.name for ref in others.objects if ref.kind == "Service"} == {"web"}
    assert {ref.name for ref in mine.objects if ref.kind == "Service"} == {"mine"}
    for each in (others, mine):
        each.source.stop()


def test_a_large_list_comes_in_pages(server: tuple[StandIn, Path]) -> None:
    state, kubeconfig = server
    state.put(SLICES_V1, *(endpoint_slice("10.1.0.1", name=f"slice-{number}") for number in range(1200)))
    made = Following(kubeconfig).synced()
    assert sum(ref.kind == "EndpointSlice" for ref in made.objects) == 1201
    assert [query.get("continue") for path, query in state.requests if path == SLICES_V1][:3] == [None, "500", "1000"]
    made.source.stop()


@pytest.mark.parametrize("fault", ["gone", "gone_in_stream"])
def test_410_means_a_new_list_which_finds_what_was_missed(
    server: tuple[StandIn, Path], following: Following, fault: str
) -> None:
    state, _ = server
    state.delete(SERVICES, "shop", "web", silently=True)
    setattr(state.faults, fault, True)
    state.end_watches()
    following.until(lambda: WEB not in following.objects, "the missed deletion")
    setattr(state.faults, fault, False)
    state.put(SERVICES, service("other"))
    following.until(lambda: ObjectRef("Service", "shop", "other") in following.objects, "the watch to go on")


@pytest.mark.parametrize("fault", ["gone", "gone_in_stream"])
def test_a_server_that_answers_410_for_ever_is_asked_ever_less_often(
    server: tuple[StandIn, Path], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    state, kubeconfig = server
    monkeypatch.setattr(reflector, "FIRST_BACK_OFF", 1.0)
    monkeypatch.setattr(reflector, "LAST_BACK_OFF", 30.0)
    setattr(state.faults, fault, True)
    told: list[reflector.Batch] = []
    follower = reflector.Reflector(api.connect(kubeconfig, None), lambda: discovery.services(""), told.append)
    lists, watches = zip(*((follower.step(), follower.step()) for _ in range(8)), strict=True)
    assert set(lists) == {0.0}
    longest = [0.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(watches, longest, strict=True))
    assert len(set(watches)) == len(watches)
    assert "watches of services end with 410 Gone" in (told[-1].trouble or "")
    setattr(state.faults, fault, False)


@pytest.mark.parametrize("fault", ["garbage", "cut"])
def test_a_broken_watch_goes_on_from_where_it_was_without_a_new_list(
    server: tuple[StandIn, Path], following: Following, fault: str
) -> None:
    state, _ = server
    lists = state.count(SERVICES, watch=False)
    setattr(state.faults, fault, True)
    state.end_watches()
    following.until(lambda: following.source.problems, "the trouble")
    setattr(state.faults, fault, False)
    state.put(SERVICES, service("other"))
    following.until(lambda: ObjectRef("Service", "shop", "other") in following.objects, "the change")
    following.until(lambda: not following.source.problems, "the trouble's end")
    assert state.count(SERVICES, watch=False) == lists


def test_a_watch_that_hangs_is_left_for_a_new_one(
    server: tuple[StandIn, Path], following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, _ = server
    monkeypatch.setattr(reflector, "IDLE_SECONDS", 0.2)
    state.faults.hang = True
    state.end_watches()
    watches = state.count(SERVICES, watch=True)
    following.until(lambda: state.count(SERVICES, watch=True) > watches + 1, "a new watch")
    state.faults.hang = False
    state.put(SERVICES, service("other"))
    following.until(lambda: ObjectRef("Service", "shop", "other") in following.objects, "the change")


def test_a_server_that_is_away_changes_nothing_and_is_told_of_once_back_it_is_one_difference(
    certificates: Path,
) -> None:
    with serving(certificates) as (state, kubeconfig):
        state.put(SERVICES, service())
        state.put(SLICES_V1, endpoint_slice("10.1.0.1"))
        made = Following(kubeconfig).synced()
        port = int(kubeconfig.read_text().split("127.0.0.1:")[1].split()[0].strip("'\""))
    made.until(lambda: len(made.source.problems) == 3, "three troubles")
    assert made.endpoints() == 1
    made.told.clear()
    with serving(certificates, port) as (state, _):
        state.version = 1000
        state.oldest = 1000
        state.put(SERVICES, service())
        state.put(SLICES_V1, endpoint_slice("10.1.0.1", "10.1.0.9"))
        made.until(lambda: made.endpoints() == 2, "the difference")
        made.until(lambda: not made.source.problems, "the troubles' end")
        made.source.stop()


def test_unchanged_objects_are_not_told_again_by_a_new_list(server: tuple[StandIn, Path], following: Following) -> None:
    state, _ = server
    following.told.clear()
    state.faults.gone = True
    state.end_watches()
    following.until(lambda: state.count(SERVICES, watch=False) > 1, "a new list")
    state.faults.gone = False
    state.put(SLICES_V1, endpoint_slice("10.1.0.3"))
    following.until(lambda: following.told, "the change")
    assert set(following.told) == {WEB_SLICE}


@pytest.mark.parametrize(("versions", "path"), [(["v1"], SLICES_V1), (["v1beta1"], SLICES_V1BETA1), ([], ENDPOINTS)])
def test_rule_38_the_best_kind_of_endpoints_is_followed(
    server: tuple[StandIn, Path], versions: list[str], path: str
) -> None:
    state, kubeconfig = server
    state.slice_versions = versions
    if path == ENDPOINTS:
        subset = {"addresses": [{"ip": "10.1.0.1"}], "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}
        state.put(ENDPOINTS, {"metadata": {"name": "web", "namespace": "shop"}, "subsets": [subset]})
    made = Following(kubeconfig).synced()
    asked = {where for where, _ in state.requests}
    assert path in asked
    assert len(asked & {SLICES_V1, SLICES_V1BETA1, ENDPOINTS}) == 1
    assert sum(isinstance(each, EndpointSlice) for each in made.objects.values()) == 1
    made.source.stop()


def test_rule_38_an_upgraded_server_is_asked_again_what_it_has(server: tuple[StandIn, Path]) -> None:
    state, kubeconfig = server
    state.slice_versions = ["v1beta1"]
    made = Following(kubeconfig).synced()
    state.slice_versions = ["v1"]
    state.end_watches()
    made.until(lambda: state.count(SLICES_V1, watch=True), "a watch of v1")
    state.put(SLICES_V1, endpoint_slice("10.1.0.1", "10.1.0.2"))
    made.until(lambda: made.endpoints() == 2, "the change")
    made.source.stop()


def test_a_missing_right_is_named(server: tuple[StandIn, Path]) -> None:
    state, kubeconfig = server
    state.faults.status[SLICES_V1] = 403
    made = Following(kubeconfig)
    made.until(lambda: made.source.problems, "the trouble")
    assert "listing and watching endpointslices is forbidden: grant list and watch on them by RBAC" in str(
        made.source.problems[0]
    )
    made.source.stop()


def test_a_node_that_may_not_be_read_does_not_hold_up_the_rest(server: tuple[StandIn, Path]) -> None:
    state, kubeconfig = server
    state.faults.status[NODES] = 403
    made = Following(kubeconfig).synced()
    assert isinstance(made.objects[WEB], Service)
    made.source.stop()


def test_an_object_that_cannot_be_right_is_told_and_its_last_state_stays(
    server: tuple[StandIn, Path], following: Following
) -> None:
    state, _ = server
    broken = endpoint_slice("10.1.0.1", "10.1.0.2")
    broken["endpoints"][1]["addresses"] = ["nonsense"]
    state.put(SLICES_V1, broken)
    following.until(lambda: following.source.problems, "the problem")
    assert "EndpointSlice shop/web-1" in str(following.source.problems[0])
    assert following.endpoints() == 1
    state.put(SLICES_V1, endpoint_slice("10.1.0.1", "10.1.0.2"))
    following.until(lambda: following.endpoints() == 2, "the mended object")
    assert not following.source.problems
