"""What ``explain`` says is what the programs do: the same objects in both, and real packets."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from tcnat.cli import main
from tcnat.explain import Answer, Explainer, Flow, Origin, Settings
from tcnat.inventory import Inventory
from tcnat.layout import Choice, Family
from tcnat.live import LiveExplainer
from tcnat.loader import Loaded, load, load_private
from tcnat.maps import MapStore
from tcnat.model import NodeInfo, Protocol, ServicePortName, Verdict, format_address, parse_address
from tcnat.settings import Settings as DatapathSettings
from tcnat.translate import translate
from tests.packets.harness import SMALL
from tests.packets.runner import Run, Runner, runner_for
from tests.packets.runner import Verdict as Ran
from tests.unit.kube import V4, V6, Json, Net, endpoint, endpoint_slice, parse, port, service

HERE = NodeInfo("here", "zone-a")
PORTS = range(20000, 20064)


@dataclass
class Datapath:
    """A family's programs, and both explainers of what is in them."""

    net: Net
    loaded: Loaded
    runner: Runner
    store: MapStore
    explainer: Explainer
    live: LiveExplainer

    def serve(self, *objects: Json) -> None:
        """Program these objects and nothing else."""
        inventory = Inventory(parse(*objects))
        wanted = [each for found, slices in inventory.services() for each in translate(found, slices, HERE).front_ends]
        self.store.resync({each.key: each for each in wanted})
        self.store.remove_drained(())
        self.explainer = Explainer(inventory.services(), Settings(node=HERE))
        names = self.store.names()
        self.live = LiveExplainer(
            {self.loaded.family: lambda name, key: self.loaded.maps[name].lookup(key)},
            lambda _, number: names.get(number),
            int(time.monotonic()),
        )

    def send(self, flow: Flow) -> Run:
        """The first packet of the flow, as a client sends it."""
        ip = IP if self.net is V4 else IPv6
        addresses = {"src": format_address(flow.source), "dst": format_address(flow.destination)}
        syn = TCP(sport=flow.source_port, dport=flow.destination_port, flags="S")
        return self.runner.egress(
            bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / ip(**addresses) / syn)
        )

    def flow(self, to: str, source_port: int, number: int = 80, source: str | None = None) -> Flow:
        """A pod's flow to a front end."""
        addresses = parse_address(source or self.net.pod_client), parse_address(to)
        return Flow(Origin.POD, addresses[0], source_port, addresses[1], number, Protocol.TCP)


@pytest.fixture(scope="module", params=[V4, V6], ids=str)
def loaded(request: pytest.FixtureRequest) -> Iterator[tuple[Net, Loaded, Runner]]:
    net: Net = request.param
    programs = load_private(Family.IPV4 if net is V4 else Family.IPV6, SMALL)
    runner = runner_for(programs)
    yield net, programs, runner
    runner.close()


@pytest.fixture
def datapath(loaded: tuple[Net, Loaded, Runner]) -> Datapath:
    """The programs without any Service or flow."""
    net, programs, runner = loaded
    for name in ("flows", "flows_new", "affinity"):
        for key in list(programs.maps[name].keys()):
            programs.maps[name].delete(key)
    programs.maps["settings"].update(bytes(4), DatapathSettings().pack())
    store = MapStore(programs.family, programs.maps)
    store.read()
    explainer = Explainer(Inventory().services(), Settings(node=HERE))
    return Datapath(net, programs, runner, store, explainer, LiveExplainer({}, lambda _, __: None, 0))


def destination(run: Run) -> str:
    """Where a rewritten packet goes."""
    assert run.frame is not None
    packet = Ether(run.frame)
    ip = packet[IP] if IP in packet else packet[IPv6]
    address = f"[{ip.dst}]" if ":" in ip.dst else ip.dst
    return f"{address}:{ip[TCP].dport}"


def essence(answer: Answer) -> tuple[object, ...]:
    """What both explainers must agree on."""
    return answer.verdict, answer.front_end, answer.service, answer.backends, answer.chosen, answer.masquerade


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_chosen_backend_is_the_one_that_the_packet_goes_to(datapath: Datapath, count: int) -> None:
    net = datapath.net
    addresses = (net.pod_one, net.pod_two, net.pod_three, net.other_node, net.outsider, net.stranger, net.node)
    datapath.serve(service(net.service), endpoint_slice(net.family, *map(endpoint, addresses[:count])))
    reached = set()
    for source_port in PORTS:
        flow = datapath.flow(net.service, source_port)
        answer, live = datapath.explainer.explain(flow), datapath.live.explain(flow)
        run = datapath.send(flow)
        assert run.verdict is Ran.PASS
        assert str(answer.chosen) == str(live.chosen) == destination(run)
        assert essence(live) == essence(answer)
        reached.add(answer.chosen)
    assert len(reached) == count


def test_nobody_home(datapath: Datapath) -> None:
    net = datapath.net
    datapath.serve(
        service(net.service),
        service(net.other_service, name="other", internalTrafficPolicy="Local"),
        endpoint_slice(net.family, endpoint(net.pod_one, "away"), of="other", name="other-1"),
    )
    for to, verdict, ran in ((net.service, Verdict.REJECT, Ran.SEND_BACK), (net.other_service, Verdict.DROP, Ran.DROP)):
        flow = datapath.flow(to, 20000)
        assert datapath.send(flow).verdict is ran
        for answer in (datapath.explainer.explain(flow), datapath.live.explain(flow)):
            assert (answer.verdict, answer.rule) == (verdict, 24)


@pytest.mark.parametrize(
    ("choice", "verdict", "ran"),
    [
        (Choice.PASS, Verdict.PASS, Ran.PASS),
        (Choice.DROP, Verdict.DROP, Ran.DROP),
        (Choice.REJECT, Verdict.REJECT, Ran.SEND_BACK),
    ],
)
def test_rule_25_an_unknown_port_by_the_setting(datapath: Datapath, choice: Choice, verdict: Verdict, ran: Ran) -> None:
    net = datapath.net
    datapath.serve(service(net.service), endpoint_slice(net.family, endpoint(net.pod_one)))
    datapath.loaded.maps["settings"].update(bytes(4), DatapathSettings(unknown_port=choice).pack())
    flow = datapath.flow(net.service, 20000, number=81)
    live = datapath.live.explain(flow)
    assert (live.verdict, live.rule, live.front_end) == (verdict, 25, None)
    assert datapath.send(flow).verdict is ran
    assert datapath.live.explain(datapath.flow(net.outsider, 20000)).verdict is Verdict.PASS


def test_rule_28_a_client_that_is_its_own_backend(datapath: Datapath) -> None:
    net = datapath.net
    datapath.serve(service(net.service), endpoint_slice(net.family, endpoint(net.pod_one)))
    flow = datapath.flow(net.service, 20000, source=net.pod_one)
    assert datapath.live.explain(flow).masquerade
    assert datapath.send(flow).verdict is Ran.SEND_BACK


def test_rule_29_a_client_that_has_its_backend(datapath: Datapath) -> None:
    net = datapath.net
    datapath.serve(
        service(net.service, sessionAffinity="ClientIP"),
        endpoint_slice(net.family, endpoint(net.pod_one), endpoint(net.pod_two)),
    )
    given = destination(datapath.send(datapath.flow(net.service, 20000)))
    for source_port in PORTS[1:8]:
        answer = datapath.live.explain(datapath.flow(net.service, source_port))
        assert str(answer.chosen) == given
        assert "rule 29" in answer.reason
        assert destination(datapath.send(datapath.flow(net.service, source_port))) == given
    assert (
        f"a flow from this port is known; it goes to {given}"
        in datapath.live.explain(datapath.flow(net.service, 20000)).reason
    )


def test_rule_31_a_service_that_is_gone(datapath: Datapath) -> None:
    net = datapath.net
    each = [service(net.service, ports=[port()]), endpoint_slice(net.family, endpoint(net.pod_one))]
    datapath.serve(*each)
    names = datapath.store.names()
    assert ServicePortName("default", "web", "http", Protocol.TCP) in names.values()
    datapath.store.resync({})
    answer = datapath.live.explain(datapath.flow(net.service, 20000))
    assert answer.verdict is Verdict.PASS
    assert "only open connections go on" in answer.reason


def test_the_command_asks_the_pinned_maps(capsys: pytest.CaptureFixture[str]) -> None:
    pins = Path(f"/sys/fs/bpf/tcnat-test-{secrets.token_hex(4)}")
    try:
        (loaded,) = load(pins, [Family.IPV4], SMALL).values()
        store = MapStore(loaded.family, loaded.maps)
        store.read()
        slices = endpoint_slice("IPv4", endpoint(V4.pod_one), endpoint(V4.pod_two))
        ((web, its),) = Inventory(parse(service(V4.service), slices)).services()
        store.resync({each.key: each for each in translate(web, its, HERE).front_ends})
        question = ["--from", "pod", "--src", f"{V4.pod_client}:20000", "--dst", f"{V4.service}:80/TCP", "-o", "json"]
        with pytest.raises(SystemExit) as ended:
            main(["explain", "--live", "--pin-path", str(pins), *question])
        assert ended.value.code == 0
        answer = json.loads(capsys.readouterr().out)
        assert [each["address"] for each in answer["backends"]] == [V4.pod_one, V4.pod_two]
        assert answer["chosen"] is not None
    finally:
        shutil.rmtree(pins, ignore_errors=True)
