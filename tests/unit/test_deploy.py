"""What is shipped in deploy/ against the code that it is for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.core import Metric

from tcnat.config import configure
from tcnat.health import Health
from tcnat.layout import Family
from tcnat.metrics import HealthCollector, MapCollector, Metrics
from tcnat.model import Protocol, ServicePortName
from tcnat.reasons import reasons
from tcnat.sources.kubernetes import discovery
from tcnat.sources.kubernetes.api import ApiError

DEPLOY = Path(__file__).parents[2] / "deploy"
YAML_FILES = sorted(DEPLOY.rglob("*.yaml"))
KUSTOMIZATIONS = sorted(DEPLOY.rglob("kustomization.yaml"))
MONITORING = [DEPLOY / "grafana-dashboard.json", DEPLOY / "prometheus-alerts.yaml"]
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}

Json = dict[str, Any]


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def the(kind: str, path: Path) -> Json:
    """The one object of that kind in a file."""
    (found,) = (each for each in documents(path) if each["kind"] == kind)
    assert isinstance(found, dict)
    return found


def container(path: Path) -> Json:
    found = the("DaemonSet", path)["spec"]["template"]["spec"]["containers"][0]
    assert isinstance(found, dict)
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(DEPLOY))


@pytest.mark.parametrize("path", YAML_FILES, ids=name_of)
def test_yaml_can_be_read(path: Path) -> None:
    assert all(documents(path))


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=name_of)
def test_a_kustomization_names_files_that_there_are(path: Path) -> None:
    (content,) = documents(path)
    named = [*content.get("resources", ()), *(patch["path"] for patch in content.get("patches", ()))]
    named += [file for generator in content.get("configMapGenerator", ()) for file in generator["files"]]
    assert named
    for name in named:
        target = path.parent / name
        assert target.is_file() or (target / "kustomization.yaml").is_file(), name


def test_every_manifest_belongs_to_a_kustomization() -> None:
    named = {
        (path.parent / name).resolve()
        for path in KUSTOMIZATIONS
        for content in documents(path)
        for name in [*content.get("resources", ()), *(patch["path"] for patch in content.get("patches", ()))]
    }
    others = ("base/agent.yaml", "systemd/agent.yaml", "prometheus-alerts.yaml")
    beside = {*KUSTOMIZATIONS, *(DEPLOY / name for name in others)}
    assert {path.resolve() for path in YAML_FILES} - {path.resolve() for path in beside} <= named


class Server:
    """An API server that has these versions of discovery.k8s.io; none: it does not know the group."""

    def __init__(self, *versions: str) -> None:
        self._versions = versions

    def get(self, path: str) -> bytes:
        if not self._versions:
            raise ApiError(404, "not found")
        return json.dumps({"versions": [{"version": version} for version in self._versions]}).encode()


def test_the_cluster_role_grants_what_the_source_asks_for_and_nothing_else() -> None:
    servers: list[Any] = [Server("v1"), Server("v1beta1"), Server("v1", "v1beta1"), Server()]
    asked = [discovery.services(""), discovery.node("n"), *(discovery.endpoints(server, "") for server in servers)]
    wanted = {
        (each.api_version.rpartition("/")[0].partition("/")[0], each.name, verb)
        for each in asked
        for verb in ("list", "watch")
    }
    rules = the("ClusterRole", DEPLOY / "base" / "rbac.yaml")["rules"]
    granted = [
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    assert sorted(granted) == sorted(wanted)
    assert all(rule.keys() == {"apiGroups", "resources", "verbs"} for rule in rules)


def test_the_binding_gives_that_role_to_the_daemon_sets_account() -> None:
    rbac = DEPLOY / "base" / "rbac.yaml"
    binding = the("ClusterRoleBinding", rbac)
    account = the("DaemonSet", DEPLOY / "base" / "daemonset.yaml")["spec"]["template"]["spec"]["serviceAccountName"]
    assert binding["roleRef"]["name"] == the("ClusterRole", rbac)["metadata"]["name"]
    assert [subject["name"] for subject in binding["subjects"]] == [account]
    assert the("ServiceAccount", rbac)["metadata"]["name"] == account


def test_the_container_is_not_privileged() -> None:
    rights = container(DEPLOY / "base" / "daemonset.yaml")["securityContext"]
    assert "privileged" not in rights
    assert rights["readOnlyRootFilesystem"] is True
    assert rights["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "SYS_ADMIN", "SYS_RESOURCE"]}


def test_cleaning_up_takes_one_capability() -> None:
    pod = the("DaemonSet", DEPLOY / "cleanup" / "daemonset.yaml")["spec"]["template"]["spec"]
    granted = [each["securityContext"]["capabilities"] for each in (*pod["initContainers"], *pod["containers"])]
    assert granted == [{"drop": ["ALL"], "add": ["NET_ADMIN"]}, {"drop": ["ALL"]}]


def test_volumes_and_mounts_fit() -> None:
    for path in (DEPLOY / "base" / "daemonset.yaml", DEPLOY / "cleanup" / "daemonset.yaml"):
        pod = the("DaemonSet", path)["spec"]["template"]["spec"]
        containers = [*pod.get("initContainers", ()), *pod["containers"]]
        mounted = {mount["name"] for each in containers for mount in each.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def flags(arguments: list[str]) -> dict[str, str]:
    return dict(each.removeprefix("--").split("=", 1) for each in arguments if each.startswith("--"))


@pytest.mark.parametrize("overlay", ["base", "overlays/beside-kube-proxy"])
def test_the_agent_takes_its_settings_and_is_probed_where_it_listens(overlay: str) -> None:
    arguments = list(container(DEPLOY / "base" / "daemonset.yaml")["args"])
    if overlay != "base":
        arguments += [operation["value"] for operation in documents(DEPLOY / overlay / "flags.yaml")[0]]
    given = flags(arguments)
    assert given.pop("config") == "/etc/tcnat/agent.yaml"
    config = configure(given, DEPLOY / "base" / "agent.yaml")
    probed = container(DEPLOY / overlay / "daemonset.yaml")
    ports = {probed[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")}
    assert config.healthz_bind_address is not None
    assert ports == {config.healthz_bind_address.port}
    assert config.healthz_bind_address.host == "127.0.0.1"


def test_beside_kube_proxy_no_port_is_kube_proxys() -> None:
    operations = documents(DEPLOY / "overlays" / "beside-kube-proxy" / "flags.yaml")[0]
    config = configure(flags([operation["value"] for operation in operations]))
    assert config.service_proxy_name == "tcnat"
    assert config.healthz_bind_address is not None
    assert config.metrics_bind_address is not None
    assert {config.healthz_bind_address.port, config.metrics_bind_address.port}.isdisjoint({10249, 10256})


class EmptyMap:
    """A map in which nothing is."""

    name = "flows"
    max_entries = 64

    def duplicate(self) -> EmptyMap:
        return self

    def lookup(self, key: bytes) -> bytes | None:
        return None

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(())


def metric_families() -> list[Metric]:
    """All that an agent exposes."""
    metrics = Metrics()
    metrics.registry.register(HealthCollector(Health(60, lambda: 0)))
    maps: Any = {Family.IPV4: {name: EmptyMap() for name in ("counters", "service_counters", "flows")}}
    names = {(Family.IPV4, 1): ServicePortName("default", "web", "http", Protocol.TCP)}
    metrics.registry.register(MapCollector(maps, lambda: names, dict))
    return list(metrics.registry.collect())


def exposed() -> set[str]:
    return {family.name + suffix for family in metric_families() for suffix in SUFFIXES.get(family.type, ())}


def expressions(path: Path) -> list[str]:
    """The queries of a dashboard or a file of rules."""
    content = documents(path)[0]
    if path.suffix == ".json":
        return [target["expr"] for panel in content["panels"] for target in panel["targets"]]
    return [rule["expr"] for group in content["groups"] for rule in group["rules"]]


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\b(?:tcnat|kubeproxy|process)_\w+", text))


@pytest.mark.parametrize("path", MONITORING, ids=name_of)
def test_every_metric_that_is_asked_for_is_exposed(path: Path) -> None:
    named = names_in(" ".join(expressions(path)))
    assert len(named) > 8
    assert named <= exposed()


@pytest.mark.parametrize("path", MONITORING, ids=name_of)
def test_every_query_names_a_metric_of_the_agents(path: Path) -> None:
    assert all(names_in(expression) for expression in expressions(path))


@pytest.mark.parametrize("path", MONITORING, ids=name_of)
def test_verdicts_and_reasons_that_are_asked_for_are_those_of_the_programs(path: Path) -> None:
    text = " ".join(expressions(path))
    known = {"verdict": {each.verdict for each in reasons()}, "reason": {each.name for each in reasons()}}
    asked = re.findall(r'(verdict|reason)=~?"([^"]+)"', text)
    assert asked
    for label, words in asked:
        assert set(words.split("|")) <= known[label]


def test_the_dashboard_shows_all_of_tcnats_own_metrics() -> None:
    own = {name for name in exposed() if name.startswith("tcnat_")}
    assert own <= names_in(" ".join(expressions(MONITORING[0])))
