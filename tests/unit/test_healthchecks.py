"""Rule 32: health-check node ports, asked over real HTTP on loopback."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from tcnat.health import Health
from tcnat.healthchecks import HealthCheckPorts
from tcnat.resources import ServiceRef
from tcnat.translate import HealthCheck

WEB = ServiceRef("shop", "web")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, path: str = "/") -> tuple[int, dict[str, str], dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, dict(answer.headers), json.loads(answer.read())


@pytest.fixture
def health() -> Health:
    made = Health(patience=60, steady=lambda: 0.0)
    made.synced(0)
    return made


@pytest.fixture
def ports(health: Health) -> Iterator[HealthCheckPorts]:
    made = HealthCheckPorts(health, lambda: 1.0, hosts=("127.0.0.1",))
    yield made
    made.stop()


def test_rule_32_a_node_with_local_endpoints_answers_200_on_any_path(ports: HealthCheckPorts) -> None:
    port = free_port()
    ports.sync({WEB: HealthCheck(port, 2)})
    status, headers, body = ask(port, "/whatever?x=1")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Load-Balancing-Endpoint-Weight"] == "2"
    assert body == {
        "service": {"namespace": "shop", "name": "web"},
        "localEndpoints": 2,
        "serviceProxyHealthy": True,
    }


def test_rule_32_a_node_without_answers_503_and_follows_changes(ports: HealthCheckPorts) -> None:
    port = free_port()
    ports.sync({WEB: HealthCheck(port, 0)})
    assert ask(port)[0] == 503
    ports.sync({WEB: HealthCheck(port, 1)})
    assert ask(port)[0] == 200


def test_rule_32_an_agent_that_does_not_keep_up_answers_503(ports: HealthCheckPorts, health: Health) -> None:
    port = free_port()
    ports.sync({WEB: HealthCheck(port, 3)})
    health.waits()
    health.steady = lambda: 100.0
    status, _, body = ask(port)
    assert status == 503
    assert body["serviceProxyHealthy"] is False
    assert body["localEndpoints"] == 3


def test_a_port_moves_and_closes_with_its_service(ports: HealthCheckPorts) -> None:
    first, second = free_port(), free_port()
    ports.sync({WEB: HealthCheck(first, 1)})
    ports.sync({WEB: HealthCheck(second, 1)})
    assert ask(second)[0] == 200
    with pytest.raises(ConnectionRefusedError):
        ask(first)
    ports.sync({})
    with pytest.raises(ConnectionRefusedError):
        ask(second)


def test_a_port_that_is_taken_is_told_and_holds_up_nothing(
    ports: HealthCheckPorts, caplog: pytest.LogCaptureFixture
) -> None:
    other = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports.sync({WEB: HealthCheck(port, 1), ServiceRef("shop", "api"): HealthCheck(other, 1)})
    assert f"health-check node port {port} of shop/web cannot be served" in caplog.text
    assert ask(other)[0] == 200
