"""``tcnat get``: what the maps hold, and which devices carry the programs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import click

from tcnat.cli.reading import Screen, on_screen, pin_path_option
from tcnat.errors import TcnatError
from tcnat.flows import FlowFilter
from tcnat.layout import FlowState
from tcnat.loader import open_pinned
from tcnat.model import Protocol, parse_address
from tcnat.notes import read_notes
from tcnat.rows import BackendRow, DeviceRow, FlowRow, ServiceRow, endpoint_text, service_text
from tcnat.tables import Column, human_bytes, human_seconds
from tcnat.view import View, device_rows, flow_rows

Named = TypeVar("Named", ServiceRow, BackendRow)

SERVICE_COLUMNS: Sequence[Column[ServiceRow]] = (
    Column("NAMESPACE", lambda row: row.namespace),
    Column("NAME", lambda row: row.name),
    Column("PORT", lambda row: row.port_name),
    Column("ADDRESS", lambda row: f"{endpoint_text(row.address, row.port)}/{row.protocol}"),
    Column("STATE", lambda row: row.state),
    Column("BACKENDS", lambda row: len(row.backends)),
    Column("ENDPOINTS", lambda row: ",".join(endpoint_text(b.address, b.port) for b in row.backends), wide=True),
    Column("AFFINITY", lambda row: human_seconds(row.affinity_seconds) if row.affinity_seconds else "", wide=True),
    Column("FLOWS", lambda row: row.flows_begun, wide=True),
    Column("FORWARD", lambda row: human_bytes(row.forward_bytes), wide=True),
    Column("REPLY", lambda row: human_bytes(row.reply_bytes), wide=True),
    Column("ID", lambda row: row.service_id, wide=True),
    Column("SLOTS", lambda row: row.slots, wide=True),
)
BACKEND_COLUMNS: Sequence[Column[BackendRow]] = (
    Column("NAMESPACE", lambda row: row.namespace),
    Column("NAME", lambda row: row.name),
    Column("PORT", lambda row: row.port_name),
    Column("BACKEND", lambda row: f"{endpoint_text(row.address, row.port)}/{row.protocol}"),
    Column("FRONT-ENDS", lambda row: row.front_ends),
    Column("ID", lambda row: row.id, wide=True),
    Column("GENERATION", lambda row: row.generation, wide=True),
)
FLOW_COLUMNS: Sequence[Column[FlowRow]] = (
    Column("PROTOCOL", lambda row: row.protocol),
    Column("CLIENT", lambda row: endpoint_text(row.client_address, row.client_port)),
    Column("FRONT-END", lambda row: endpoint_text(row.address, row.port)),
    Column("BACKEND", lambda row: endpoint_text(row.backend_address, row.backend_port)),
    Column("STATE", lambda row: row.state),
    Column("IDLE", lambda row: human_seconds(row.idle_seconds)),
    Column("SERVICE", lambda row: service_text(row.namespace, row.name, row.port_name)),
    Column("SOURCE", lambda row: endpoint_text(row.source_address, row.source_port), wide=True),
    Column("TIMEOUT", lambda row: human_seconds(row.timeout_seconds), wide=True),
    Column("KIND", lambda row: row.kind, wide=True),
    Column("BACKEND-ID", lambda row: row.backend_id if row.kind != "direct" else "", wide=True),
    Column("GENERATION", lambda row: row.generation, wide=True),
    Column("TABLE", lambda row: row.table, wide=True),
)
DEVICE_COLUMNS: Sequence[Column[DeviceRow]] = (
    Column("DEVICE", lambda row: row.device),
    Column("ROLE", lambda row: row.role),
    Column("FAMILIES", lambda row: ",".join(f"ipv{family}" for family in row.families)),
    Column("STATE", lambda row: "complete" if row.complete else "incomplete"),
    Column("INDEX", lambda row: row.index, wide=True),
    Column("FILTERS", lambda row: ",".join(f"{f.name}@{f.hook}:{f.priority}" for f in row.filters), wide=True),
    Column("PROGRAMS", lambda row: ",".join(str(f.program) for f in row.filters), wide=True),
)


@click.group("get")
def command() -> None:
    """Show services, backends, flows or devices, read from the maps and the kernel: no agent need run.

    \b
    Examples:
      tcnat get services
      tcnat get services -n shop -o wide
      tcnat get flows --service shop/web --watch
      tcnat get backends -o json
    """


@command.command("services", short_help="Every front end and what becomes of packets to it.")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("-n", "--namespace", help="Only those of this namespace.")
@on_screen
@pin_path_option
def services(screen: Screen, names: tuple[str, ...], namespace: str | None, pin_path: Path) -> None:
    """Show every front end: address, port, what becomes of packets to it, and its backends."""
    screen.show_rows(
        lambda: _asked_for((row for view in _views(pin_path) for row in view.services()), names, namespace),
        SERVICE_COLUMNS,
    )


@command.command("backends", short_help="Every backend of every service port.")
@click.argument("names", nargs=-1, metavar="[SERVICE...]")
@click.option("-n", "--namespace", help="Only those of this namespace.")
@on_screen
@pin_path_option
def backends(screen: Screen, names: tuple[str, ...], namespace: str | None, pin_path: Path) -> None:
    """Show every backend of every service port, with its id and generation."""
    screen.show_rows(
        lambda: _asked_for((row for view in _views(pin_path) for row in view.backends()), names, namespace),
        BACKEND_COLUMNS,
    )


@command.command("flows", short_help="The conversations that go on.")
@click.option("--client", metavar="IP", help="Only those of this client.")
@click.option("--front-end", metavar="IP[:PORT]", help="Only those to this front end.")
@click.option("--backend", metavar="IP", help="Only those with this backend.")
@click.option("--service", metavar="[NAMESPACE/]NAME", help="Only those of this Service.")
@click.option(
    "--protocol",
    type=click.Choice([protocol.name.lower() for protocol in Protocol], case_sensitive=False),
    help="Only those of this protocol.",
)
@click.option(
    "--state",
    type=click.Choice([state.name.lower() for state in FlowState]),
    metavar="STATE",
    help="Only those in this state: unanswered, answered (UDP, SCTP), opening, open, closing and so on (TCP).",
)
@on_screen
@pin_path_option
def flows(screen: Screen, service: str | None, pin_path: Path, **asked: str | None) -> None:
    """Show the flows that are not past their time-outs: client, front end, backend, state and idle time."""
    wanted = _flow_filter(**asked)

    def read() -> Iterator[FlowRow]:
        notes = read_notes(pin_path)
        for loaded in open_pinned(pin_path).values():
            for row in flow_rows(loaded, notes, time.monotonic(), wanted):
                if service is None or service in {row.name, f"{row.namespace}/{row.name}"}:
                    yield row

    screen.show_rows(read, FLOW_COLUMNS)


@command.command("devices", short_help="The devices that carry the programs.")
@on_screen
def devices(screen: Screen) -> None:
    """Show the devices of this network namespace that carry the programs."""
    screen.show_rows(device_rows, DEVICE_COLUMNS)


def _views(pin_path: Path) -> Iterator[View]:
    notes = read_notes(pin_path)
    return (View(loaded, notes) for loaded in open_pinned(pin_path).values())


def _asked_for(rows: Iterable[Named], names: Sequence[str], namespace: str | None) -> Iterator[Named]:
    for row in rows:
        if (namespace is None or row.namespace == namespace) and (not names or row.name in names):
            yield row


def _flow_filter(
    *,
    client: str | None,
    front_end: str | None,
    backend: str | None,
    protocol: str | None,
    state: str | None,
) -> FlowFilter:
    address, port = _front_end(front_end) if front_end else (None, None)
    return FlowFilter(
        client=_address("--client", client) if client else None,
        front_end=address,
        backend=_address("--backend", backend) if backend else None,
        port=port,
        protocol=Protocol[protocol.upper()] if protocol else None,
        state=FlowState[state.upper()] if state else None,
    )


def _front_end(text: str) -> tuple[bytes, int | None]:
    """``10.96.0.1``, ``10.96.0.1:80``, ``fd00::1`` or ``[fd00::1]:80``."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return _address("--front-end", text.strip("[]")), None
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise TcnatError(f"--front-end {text}: {port or 'nothing'} is no port number", exit_code=2)
    return _address("--front-end", host.strip("[]")), int(port)


def _address(option: str, text: str) -> bytes:
    try:
        return parse_address(text)
    except ValueError:
        raise TcnatError(f"{option} {text}: not an IPv4 or IPv6 address", exit_code=2) from None
