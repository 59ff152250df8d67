"""``tcnat explain``: which decision a packet would get, and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec
import yaml

from tcnat.cli.options import ManyValues, split_commas
from tcnat.errors import TcnatError
from tcnat.explain import Answer, Explainer, Flow, Origin, Settings
from tcnat.inventory import Inventory
from tcnat.live import LiveExplainer, Lookup
from tcnat.model import Network, NodeInfo, Verdict, parse_address, parse_network
from tcnat.objectfiles import load_inventory, open_input
from tcnat.questions import answer_json, answer_text, flow_from_line, flow_from_options

if TYPE_CHECKING:
    from tcnat.bpf import Map

EPILOG = """\b
Examples:
  tcnat explain --objects cluster.yaml --from pod --src 10.244.1.5:40000 --dst 10.96.0.10:53/UDP
  kubectl get services,endpointslices,nodes -A -o json |
    tcnat explain --objects - --node-name node-1 --flows flows.jsonl
"""

Value = TypeVar("Value")


@click.command(cls=ManyValues, epilog=EPILOG)
@click.option(
    "--objects",
    multiple=True,
    metavar="FILE...",
    help="Services, EndpointSlices, Endpoints and Nodes, as kubectl prints them; directories and - too. "
    "A later object of the same name replaces an earlier one.",
)
@click.option("--node-name", default="", help="The node that decides.")
@click.option("--node-zone", default="", help="Its zone. [default: that of its Node object]")
@click.option(
    "--node-ip",
    multiple=True,
    callback=split_commas,
    metavar="IP...",
    help="Its addresses. [default: those of its Node object]",
)
@click.option(
    "--cluster-cidr", multiple=True, callback=split_commas, metavar="CIDR...", help="Where pods' addresses are."
)
@click.option("--service-cidr", multiple=True, callback=split_commas, metavar="CIDR...", help="Unallocated ones drop.")
@click.option("--masquerade-all", is_flag=True, help="Masquerade all traffic to cluster IPs.")
@click.option(
    "--nodeport-addresses",
    multiple=True,
    callback=split_commas,
    metavar="CIDR...",
    help="Where node ports answer; 'primary' stands for the Node object's addresses. [default: everywhere]",
)
@click.option("--localhost-nodeports", is_flag=True, help="Node ports answer on 127.0.0.1 too.")
@click.option(
    "--unknown-port",
    type=click.Choice(["pass", "reject", "drop"]),
    default="pass",
    show_default=True,
    help="For a port that a cluster IP does not have.",
)
@click.option(
    "--from", "origin", type=click.Choice([each.value for each in Origin]), help="Where the packet comes from."
)
@click.option("--src", metavar="IP[:PORT]", help="Its source.")
@click.option("--dst", metavar="IP:PORT/PROTO", help="Its destination.")
@click.option("--live", is_flag=True, help="Ask the maps of the running datapath instead of --objects; needs root.")
@click.option("--pin-path", type=click.Path(path_type=Path), help="Where that datapath is pinned.")
@click.option("--flows", metavar="FILE", help="Many flows as JSON lines; each is answered with a line of JSON.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "yaml"]),
    help="Output format. [default: text; json with --flows]",
)
def command(
    *,
    objects: tuple[str, ...],
    node_name: str,
    node_zone: str,
    node_ip: tuple[str, ...],
    cluster_cidr: tuple[str, ...],
    service_cidr: tuple[str, ...],
    masquerade_all: bool,
    nodeport_addresses: tuple[str, ...],
    localhost_nodeports: bool,
    unknown_port: str,
    origin: str | None,
    src: str | None,
    dst: str | None,
    live: bool,
    pin_path: Path | None,
    flows: str | None,
    output: str | None,
) -> None:
    """Tell which decision a packet would get, and why.

    It asks the same pure model that the agent programs the kernel from; it needs neither root nor a kernel.
    """
    questions = _questions(origin, src, dst, flows)
    if live == bool(objects):
        raise click.UsageError("name the files that hold the Services with --objects, or ask the maps with --live")
    if live:
        explain = _of_maps(pin_path)
    else:
        inventory = load_inventory(objects)
        given = _each(parse_address, node_ip, "--node-ip")
        settings = Settings(
            node=_node(inventory, node_name, node_zone, given),
            cluster_cidrs=_each(parse_network, cluster_cidr, "--cluster-cidr"),
            service_cidrs=_each(parse_network, service_cidr, "--service-cidr"),
            masquerade_all=masquerade_all,
            nodeport_addresses=_nodeport_networks(nodeport_addresses, _primary(inventory, node_name) or given),
            localhost_nodeports=localhost_nodeports,
            unknown_port=Verdict(unknown_port),
        )
        explain = Explainer(inventory.services(), settings).explain
    for flow in questions:
        _print(flow, explain(flow), output or ("json" if flows else "text"))


def _of_maps(pin_path: Path | None) -> Callable[[Flow], Answer]:
    """Answers from the pinned maps. What reads them is imported only here: without --live no kernel is needed."""
    from tcnat.loader import DEFAULT_PINS, open_pinned  # noqa: PLC0415
    from tcnat.notes import read_notes  # noqa: PLC0415
    from tcnat.view import programs_seconds  # noqa: PLC0415

    pins = pin_path or DEFAULT_PINS
    loaded = open_pinned(pins)
    clock = programs_seconds(next(iter(loaded.values())).maps, time.monotonic())
    lookups = {family: _lookup(each.maps) for family, each in loaded.items()}
    return LiveExplainer(lookups, read_notes(pins).name, clock).explain


def _lookup(maps: Mapping[str, Map]) -> Lookup:
    return lambda name, key: maps[name].lookup(key)


def _questions(origin: str | None, src: str | None, dst: str | None, flows: str | None) -> Iterator[Flow]:
    """The flows asked about; what is wrong with the options is told at once, with a file's lines when they come."""
    if flows is not None:
        if origin or src or dst:
            raise click.UsageError("--flows stands for itself: leave --from, --src and --dst out")
        return _flows_in(flows)
    if origin is None or src is None or dst is None:
        raise click.UsageError("--from, --src and --dst are needed together, or --flows")
    try:
        return iter([flow_from_options(origin, src, dst)])
    except ValueError as error:
        raise TcnatError(str(error), exit_code=2) from None


def _flows_in(name: str) -> Iterator[Flow]:
    with open_input(name) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield flow_from_line(line)
            except ValueError as error:
                raise TcnatError(f"{name}:{number}: {error}", exit_code=2) from None


def _node(inventory: Inventory, name: str, zone: str, addresses: tuple[bytes, ...]) -> NodeInfo:
    node = inventory.node(name)
    known = node.addresses if node else ()
    return NodeInfo(name, zone or (node.zone if node else ""), tuple(dict.fromkeys(addresses + known)))


def _primary(inventory: Inventory, node_name: str) -> tuple[bytes, ...]:
    """The Node object's addresses; none without one."""
    node = inventory.node(node_name)
    return node.addresses if node else ()


def _nodeport_networks(values: Sequence[str], primary: tuple[bytes, ...]) -> tuple[Network, ...]:
    networks: list[Network] = []
    for value in values:
        if value == "primary":
            networks += [Network(address, 8 * len(address)) for address in primary]
        else:
            networks += _each(parse_network, [value], "--nodeport-addresses")
    return tuple(networks)


def _each(parse: Callable[[str], Value], values: Sequence[str], option: str) -> tuple[Value, ...]:
    try:
        return tuple(parse(value) for value in values)
    except ValueError as error:
        raise TcnatError(f"{option}: {error}", exit_code=2) from None


def _print(flow: Flow, answer: Answer, output: str) -> None:
    if output == "json":
        click.echo(msgspec.json.encode(answer_json(answer)))
    elif output == "yaml":
        click.echo(
            yaml.safe_dump(msgspec.to_builtins(answer_json(answer)), sort_keys=False, explicit_start=True), nl=False
        )
    else:
        click.echo(answer_text(flow, answer))
