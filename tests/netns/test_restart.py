"""The agent ends, in any way, and starts again."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from tcnat.layout import Family
from tcnat.loader import open_pinned
from tests.lab.stage import Stage


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_traffic_goes_on_without_the_agent(scene: Stage, family: Family, number: signal.Signals) -> None:
    service = scene.service()
    with scene.tcp(service, family) as connection:
        scene.agent.stop(number)
        assert connection.echo(b"x" * 100_000) == b"x" * 100_000
        servers = set()
        for _ in range(50):
            with scene.tcp(service, family) as fresh, scene.udp(service, family) as flow:
                servers |= {fresh.server, flow.ask(b"x" * 20)}
        assert servers == {"backend1", "backend2", "backend3"}
        scene.agent.start()
        assert connection.echo(b"x" * 100_000) == b"x" * 100_000


def test_no_request_fails_while_the_agent_is_killed_and_starts_again(scene: Stage, family: Family) -> None:
    service = scene.service()
    done = threading.Event()
    failures: list[OSError] = []

    def ask_without_pause() -> None:
        while not done.is_set():
            try:
                scene.tcp(service, family).socket.close()
                with scene.udp(service, family) as flow:
                    flow.socket.settimeout(2)
                    flow.ask(b"x" * 20)
            except OSError as error:
                failures.append(error)

    asking = threading.Thread(target=ask_without_pause)
    asking.start()
    scene.agent.stop(signal.SIGKILL)
    scene.agent.start()
    time.sleep(0.2)
    done.set()
    asking.join()
    assert failures == []


def test_a_start_with_nothing_changed_changes_nothing(scene: Stage) -> None:
    scene.service()
    before = state(scene)
    scene.agent.stop(signal.SIGKILL)
    scene.agent.start()
    assert state(scene) == before


def state(scene: Stage) -> list[object]:
    """The filters with their programs' ids, as tc shows them, and the maps that hold what is wanted."""
    lab = scene.lab
    device = "pod1" if lab.pods else "eth0"
    shown: list[object] = [lab.node.run("tc", "filter", "show", "dev", device, hook) for hook in ("ingress", "egress")]
    for loaded in open_pinned(lab.pins).values():
        shown.append(sorted(loaded.maps["services"].items()))
        shown += [hash(loaded.maps[name].read_array(loaded.maps[name].max_entries)) for name in ("slots", "backends")]
    return shown


def test_what_changed_meanwhile_is_in_force_after_the_start(scene: Stage, family: Family) -> None:
    kept, gone = scene.service([scene.backends[0]]), scene.service()
    scene.agent.stop(signal.SIGKILL)
    scene.agent.write_unheeded([kept.with_endpoints([scene.backends[1].addresses])])
    scene.agent.start()
    with scene.tcp(kept, family) as connection:
        assert connection.server == "backend2"
    with pytest.raises(OSError, match="unreachable"):
        scene.tcp(gone, family)
