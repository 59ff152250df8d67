"""The agent on a real API server: kubectl changes objects, a pod's client sees what becomes of its connections."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tcnat.layout import Family
from tests.lab.agent import BareAgent
from tests.lab.commands import wait_until
from tests.lab.objects import Service
from tests.lab.stage import ECHO, ECHO_PORT

from .answers import tcp_answers
from .conftest import NODE, Cluster
from .objects import node, objects_of

pytestmark = [pytest.mark.cluster, pytest.mark.root]

RBAC = Path(__file__).parents[2] / "deploy/base/rbac.yaml"
NewAgent = Callable[..., BareAgent]


class Web:
    """A Service on some of the lab's backends."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self._cluster = cluster
        self.service = Service(number, ECHO)

    def apply(self, *backends: int) -> None:
        """Create it, or give it these backends."""
        chosen = [self._cluster.lab.backends[number - 1].addresses for number in backends]
        self.service = self.service.with_endpoints(chosen)
        self._cluster.server.apply(*objects_of(self.service))

    def delete(self) -> None:
        """Delete it and its slices."""
        slices = [f"endpointslice/{self.service.name}-{family.name.lower()}" for family in Family]
        self._cluster.server.kubectl("delete", f"service/{self.service.name}", *slices, "--ignore-not-found")

    def answers(self, family: Family) -> set[str]:
        """Who answers a client in the pod."""
        return set(tcp_answers(self._cluster.lab.client, self.service.addresses, family, ECHO_PORT))

    def until_answers(self, *names: str) -> None:
        """Wait until exactly these do, in both families."""
        for family in Family:
            wait_until(lambda family=family: self.answers(family) == set(names), f"{names} to answer", 30)


@pytest.fixture
def web(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Web]:
    """A Service of the test's own, without objects as yet."""
    made = Web(cluster, 100 + request.session.items.index(request.node))
    yield made
    made.delete()


def synced_lines(agent: BareAgent) -> list[str]:
    """What the agent's log says of its syncs."""
    return [line for line in agent.program.output().splitlines() if " synced " in line]


def test_services_and_endpoints_come_change_and_go(cluster: Cluster, web: Web, new_agent: NewAgent) -> None:
    web.apply(1)
    new_agent().start()
    web.until_answers("backend1")
    web.apply(2, 3)
    web.until_answers("backend2", "backend3")
    web.apply()
    web.until_answers("ECONNREFUSED")
    web.apply(1, 2, 3)
    web.until_answers("backend1", "backend2", "backend3")
    web.delete()
    web.until_answers("ENETUNREACH")


def test_rule_1_a_label_hands_a_service_to_another_proxy_and_back(
    cluster: Cluster, web: Web, new_agent: NewAgent
) -> None:
    web.apply(1)
    new_agent().start()
    web.until_answers("backend1")
    name = f"service/{web.service.name}"
    cluster.server.kubectl("label", name, "service.kubernetes.io/service-proxy-name=other")
    web.until_answers("ENETUNREACH")
    cluster.server.kubectl("label", name, "service.kubernetes.io/service-proxy-name-")
    web.until_answers("backend1")


def test_a_server_that_is_killed_changes_nothing_and_is_followed_again(
    cluster: Cluster, web: Web, new_agent: NewAgent
) -> None:
    web.apply(1)
    agent = new_agent()
    agent.start()
    web.until_answers("backend1")
    cluster.server.stop(signal.SIGKILL)
    wait_until(lambda: cluster.server.url in agent.ask(10256, "/healthz")[1], "/healthz to tell of the server", 30)
    assert web.answers(Family.IPV4) == web.answers(Family.IPV6) == {"backend1"}
    cluster.server.start()
    wait_until(lambda: cluster.server.url not in agent.ask(10256, "/healthz")[1], "the trouble's end", 60)
    web.apply(2)
    web.until_answers("backend2")


def test_what_was_deleted_while_history_was_compacted_is_found_by_a_new_list(
    cluster: Cluster, web: Web, new_agent: NewAgent
) -> None:
    web.apply(1)
    kept = Web(cluster, 99)
    kept.apply(2)
    agent = new_agent()
    agent.start()
    web.until_answers("backend1")
    agent.program.send(signal.SIGSTOP)
    web.delete()
    cluster.server.compact()
    cluster.server.stop(signal.SIGKILL)
    cluster.server.start()
    agent.program.send(signal.SIGCONT)
    web.until_answers("ENETUNREACH")
    assert "services are listed anew" in agent.program.output()
    assert kept.answers(Family.IPV4) == {"backend2"}
    kept.delete()


def test_what_changed_while_no_agent_ran_is_found_by_the_next(cluster: Cluster, web: Web, new_agent: NewAgent) -> None:
    web.apply(1)
    gone = Web(cluster, 98)
    gone.apply(3)
    agent = new_agent()
    agent.start()
    gone.until_answers("backend3")
    agent.stop()
    gone.delete()
    web.apply(2)
    assert web.answers(Family.IPV4) == {"backend1"}
    agent.start()
    web.until_answers("backend2")
    gone.until_answers("ENETUNREACH")


def test_an_agent_that_starts_again_finds_nothing_to_do(cluster: Cluster, web: Web, new_agent: NewAgent) -> None:
    web.apply(1, 2)
    agent = new_agent()
    agent.start()
    assert "written=0" not in synced_lines(agent)[0]
    agent.stop()
    agent.start()
    assert "written=0" in synced_lines(agent)[0]
    web.until_answers("backend1", "backend2")


def test_rule_33_the_nodes_own_object_is_followed(cluster: Cluster, new_agent: NewAgent) -> None:
    agent = new_agent()
    agent.start()
    assert agent.ask(10256, "/healthz")[0] == 200
    cluster.server.apply(node(NODE, "ToBeDeletedByClusterAutoscaler"))
    wait_until(lambda: agent.ask(10256, "/healthz")[0] == 503, "/healthz to say that the node leaves", 30)
    assert agent.ask(10256, "/livez")[0] == 200
    cluster.server.apply(node(NODE))
    wait_until(lambda: agent.ask(10256, "/healthz")[0] == 200, "/healthz to say that the node stays", 30)


@pytest.fixture
def account(cluster: Cluster) -> Iterator[Path]:
    """A kubeconfig for the account that deploy/ makes for the agent, with the rights that it gives."""
    cluster.server.kubectl("apply", "--namespace=kube-system", "-f", str(RBAC))
    yield cluster.server.write_kubeconfig("account", cluster.server.account_token("kube-system", "tcnat"))
    cluster.server.kubectl("delete", "--namespace=kube-system", "-f", str(RBAC))


def test_the_rights_in_deploy_are_enough(cluster: Cluster, account: Path, web: Web, new_agent: NewAgent) -> None:
    web.apply(1)
    agent = new_agent(f"--kubeconfig={account}")
    agent.start()
    web.until_answers("backend1")
    web.apply(2)
    web.until_answers("backend2")
    assert "forbidden" not in agent.program.output()
    assert agent.health()["objectErrors"] == []


def without(resource: str) -> dict[str, Any]:
    """The ClusterRole of deploy/ without the right to one resource."""
    (role,) = (each for each in yaml.safe_load_all(RBAC.read_text()) if each["kind"] == "ClusterRole")
    rules = [{**rule, "resources": [each for each in rule["resources"] if each != resource]} for rule in role["rules"]]
    return {**role, "rules": [rule for rule in rules if rule["resources"]]}


@pytest.mark.parametrize("resource", ["services", "endpointslices"])
def test_a_right_that_is_missing_is_named_and_used_once_it_is_there(
    cluster: Cluster, account: Path, web: Web, new_agent: NewAgent, resource: str
) -> None:
    cluster.server.apply(without(resource))
    web.apply(1)
    agent = new_agent(f"--kubeconfig={account}")
    agent.launch()
    said = f"listing and watching {resource} is forbidden: grant list and watch on them by RBAC"
    agent.program.wait_for(lambda: said in agent.program.output(), "the missing right to be named", 30)
    assert "Traceback" not in agent.program.output()
    cluster.server.kubectl("apply", "--namespace=kube-system", "-f", str(RBAC))
    web.until_answers("backend1")


def test_without_the_right_to_nodes_services_are_served_all_the_same(
    cluster: Cluster, account: Path, web: Web, new_agent: NewAgent
) -> None:
    cluster.server.apply(without("nodes"))
    web.apply(1)
    agent = new_agent(f"--kubeconfig={account}")
    agent.start()
    web.until_answers("backend1")
    assert "listing and watching nodes is forbidden" in agent.program.output()
