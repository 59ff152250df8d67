"""The agent ends, in any way, and starts again."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from tcnat.layout import Family
from tests.lab import Lab
from tests.lab.stage import Stage, stage


@pytest.fixture(scope="module", params=[0, 1], ids=["network-facing", "workload-facing"])
def own(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with Lab(pods=request.param) as lab, stage(lab) as made:
        yield made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_traffic_goes_on_without_the_agent(own: Stage, number: signal.Signals) -> None:
    service = own.service()
    connections = [own.tcp(service, family) for family in Family]
    own.agent.stop(number)
    servers = set()
    for family in [*Family] * 50:
        with own.tcp(service, family) as fresh, own.udp(service, family) as flow:
            servers |= {fresh.server, flow.ask(b"x" * 20)}
    assert servers == {"backend1", "backend2", "backend3"}
    for connection in connections:
        assert connection.echo(b"x" * 100_000) == b"x" * 100_000
    own.agent.start()
    for connection in connections:
        assert connection.echo(b"x" * 100_000) == b"x" * 100_000
        connection.socket.close()


def test_no_request_fails_while_the_agent_is_killed_and_starts_again(own: Stage) -> None:
    service = own.service()
    done = threading.Event()
    failures: list[OSError] = []

    def ask_without_pause() -> None:
        for family in itertools.cycle(Family):
            if done.is_set():
                return
            try:
                own.tcp(service, family).socket.close()
                with own.udp(service, family) as flow:
                    flow.ask(b"x" * 20)
            except OSError as error:
                failures.append(error)

    asking = threading.Thread(target=ask_without_pause)
    asking.start()
    own.agent.stop(signal.SIGKILL)
    own.agent.start()
    time.sleep(0.2)
    done.set()
    asking.join()
    assert failures == []


def test_a_start_with_nothing_changed_changes_nothing(own: Stage) -> None:
    own.service()
    before = own.agent.state()
    own.agent.stop(signal.SIGKILL)
    own.agent.start()
    assert own.agent.state() == before


def test_what_changed_meanwhile_is_in_force_after_the_start(own: Stage) -> None:
    kept, gone = own.service([own.backends[0]]), own.service()
    own.agent.stop(signal.SIGKILL)
    own.agent.write_unheeded([kept.with_endpoints([own.backends[1].addresses])])
    own.agent.start()
    for family in Family:
        with own.tcp(kept, family) as connection:
            assert connection.server == "backend2"
        with pytest.raises(OSError, match="unreachable"):
            own.tcp(gone, family)
