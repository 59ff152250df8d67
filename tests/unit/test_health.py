"""/healthz and /livez, over real HTTP on loopback with a clock of the test's own."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from tcnat.errors import TcnatError
from tcnat.health import Health, routes
from tcnat.values import Address
from tcnat.web import Answer, Server

START = 1_700_000_000.0
PATIENCE = 60.0


class Clock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(PATIENCE, clock)


@pytest.fixture
def url(health: Health, clock: Clock):
    server = Server(Address("127.0.0.1", 0), routes(health, clock), purpose="healthz")
    yield f"http://{server.start()}"
    server.stop()


def get(url: str) -> tuple[int, dict[str, object], dict[str, str]]:
    """Status, JSON body and headers of an answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), dict(error.headers)


def test_the_body_has_kube_proxys_fields(url: str, health: Health, clock: Clock) -> None:
    health.synced(START + 1.5)
    clock.now = START + 2
    status, body, headers = get(url + "/healthz")
    assert status == 200
    assert body == {
        "lastUpdated": "2023-11-14T22:13:21.500000Z",
        "currentTime": "2023-11-14T22:13:22Z",
        "nodeEligible": True,
        "healthy": True,
        "objectErrors": [],
    }
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("endpoint", ["/healthz", "/livez"])
def test_an_update_may_wait_for_two_sync_periods_and_no_longer(
    url: str, health: Health, clock: Clock, endpoint: str
) -> None:
    health.synced(START)
    clock.now = START + 100
    health.waits()
    clock.now = START + 150
    health.waits()  # a later one changes nothing
    clock.now = START + 100 + PATIENCE
    assert get(url + endpoint)[0] == 200
    clock.now += 0.1
    status, body, _ = get(url + endpoint)
    assert (status, body["healthy"]) == (503, False)
    health.synced(clock.now)
    assert get(url + endpoint)[0] == 200


def test_nothing_to_do_for_a_day_is_healthy(url: str, health: Health, clock: Clock) -> None:
    health.synced(START)
    clock.now = START + 86400
    assert get(url + "/healthz")[0] == 200


@pytest.mark.parametrize("jump", [86400.0, -86400.0])
def test_a_wall_clock_that_jumps_makes_nobody_wait_longer_or_less(clock: Clock, jump: float) -> None:
    health = Health(PATIENCE, clock)
    assert health.report(START + jump, with_node=True)[0]
    clock.now += PATIENCE + 1
    assert not health.report(START + jump, with_node=True)[0]


def test_the_first_sync_waits_from_the_start(url: str, clock: Clock) -> None:
    status, body, _ = get(url + "/healthz")
    assert (status, body["lastUpdated"]) == (200, "0001-01-01T00:00:00Z")
    clock.now = START + PATIENCE + 1
    assert get(url + "/healthz")[0] == 503


def test_a_node_that_leaves_fails_healthz_but_not_livez(url: str, health: Health) -> None:
    health.synced(START)
    health.node_eligible = False
    assert get(url + "/healthz")[0] == 503
    assert get(url + "/livez")[0] == 200


def test_broken_objects_are_shown_and_leave_it_healthy(url: str, health: Health) -> None:
    health.synced(START, ["a.yaml: Service default/web: spec.ports[0].port: 0 is not a port"])
    status, body, _ = get(url + "/healthz")
    assert status == 200
    assert body["objectErrors"] == ["a.yaml: Service default/web: spec.ports[0].port: 0 is not a port"]


def test_of_thousands_of_broken_objects_a_hundred_are_listed(url: str, health: Health) -> None:
    health.synced(START, [f"object {number}" for number in range(3000)])
    errors = get(url + "/healthz")[1]["objectErrors"]
    assert isinstance(errors, list)
    assert (len(errors), errors[-1]) == (101, "and 2900 more")


def test_answers_are_counted_by_status(url: str, health: Health, clock: Clock) -> None:
    get(url + "/healthz")
    get(url + "/healthz")
    clock.now = START + PATIENCE + 1
    get(url + "/livez")
    assert health.answered == {("healthz", 200): 2, ("livez", 503): 1}


def test_other_paths_are_not_found(url: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(url + "/other", timeout=5)


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    first = Server(Address("127.0.0.1", 0), {"*": lambda _accept: Answer(200, b"")}, purpose="healthz")
    taken = first.start()
    try:
        with pytest.raises(TcnatError, match=rf"cannot listen at {taken} for healthz: Address already in use"):
            Server(taken, {}, purpose="healthz").start()
    finally:
        first.stop()


def test_a_server_on_ipv6() -> None:
    server = Server(Address("::1", 0), {"*": lambda _accept: Answer(200, b"{}")}, purpose="healthz")
    try:
        assert get(f"http://{server.start()}/anything")[0] == 200
    finally:
        server.stop()
