"""``tcnat trace``: the datapath's decisions as they are made."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import click

from tcnat.errors import TcnatError
from tcnat.layout import Family
from tcnat.loader import DEFAULT_PINS, open_pinned
from tcnat.model import Protocol, parse_address
from tcnat.notes import read_notes
from tcnat.reasons import reasons
from tcnat.trace.record import Decision, Event
from tcnat.trace.session import Filter, Session

EXAMPLES = """\b
Examples:
  tcnat trace                                   every decision, at most 1000 a second
  tcnat trace --address 10.96.0.10 --port 53    what becomes of DNS
  tcnat trace --service shop/web --count 20     the next 20 packets of a Service
  tcnat trace --reason no_endpoint --reason reject_no_endpoint
  tcnat trace -o json > decisions.jsonl         a JSON object a line
  tcnat trace --pcap lost.pcap --seconds 10     packets before and after, for Wireshark
"""
_LOOK = 0.5
"""Seconds between looks at whether to stop."""
_ETHERNET = 1
_ENDPOINT = re.compile(r"^\[?([0-9a-fA-F:.]+?)\]?$")


def _address(ctx: click.Context, parameter: click.Parameter, value: str | None) -> bytes | None:
    if value is None:
        return None
    match = _ENDPOINT.match(value)
    try:
        return parse_address(match[1] if match else value)
    except ValueError:
        raise click.BadParameter(f"{value} is no IPv4 or IPv6 address") from None


def _device(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int:
    if value is None:
        return 0
    try:
        return socket.if_nametoindex(value)
    except OSError:
        raise click.BadParameter(f"there is no device {value} here") from None


@click.command(epilog=EXAMPLES)
@click.option("--address", callback=_address, metavar="IP", help="On either side, before or after the rewrite.")
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="On either side, before or after.")
@click.option(
    "--proto", type=click.Choice([p.name for p in Protocol], case_sensitive=False), help="Transport protocol."
)
@click.option("--service", metavar="NAMESPACE/NAME[:PORT]", help="Packets of this Service port.")
@click.option(
    "--reason", "wanted", multiple=True, type=click.Choice([r.name for r in reasons()]), help="Only with this outcome."
)
@click.option("--device", callback=_device, metavar="NAME", help="Only at this device.")
@click.option(
    "--rate", type=click.IntRange(1), default=1000, show_default=True, help="Packets a second and CPU, at most."
)
@click.option("--count", type=click.IntRange(1), help="End after so many decisions.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="End after so long.")
@click.option("--pcap", type=click.Path(dir_okay=False, path_type=Path), help="Write packets before and after here.")
@click.option(
    "--snap", type=click.IntRange(64, 65535), help="Bytes of each packet, at most.  [default: 128; with --pcap 1600]"
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--pin-path", type=click.Path(path_type=Path), default=DEFAULT_PINS, show_default=True)
def command(
    address: bytes | None,
    port: int | None,
    proto: str | None,
    service: str | None,
    wanted: tuple[str, ...],
    device: int,
    rate: int,
    count: int | None,
    seconds: float | None,
    pcap: Path | None,
    snap: int | None,
    output: str,
    pin_path: Path,
) -> None:
    """Show the datapath's decisions as they are made: each packet as it came, as it left, and why.

    What is asked for is filtered and limited in the kernel; while nobody traces, it costs next to nothing.
    """
    loaded = open_pinned(pin_path)
    services = _services(pin_path, service) if service else None
    asked = Filter(
        address,
        port or 0,
        Protocol[proto.upper()] if proto else 0,
        services,
        device,
        snap or (1600 if pcap else 128),
        rate,
    )
    with ExitStack() as stack:
        show = stack.enter_context(_Output(output, pcap))
        ended = stack.enter_context(_ends())
        session = stack.enter_context(Session(loaded, asked))
        shown = 0
        for decision in _until(session, ended, seconds):
            if wanted and decision.reason.name not in wanted:
                continue
            show.show(decision)
            shown += 1
            if shown == count:
                break
        if session.lost:
            click.echo(f"tcnat: {session.lost} records were lost: narrow the filter or lower --rate", err=True)


def _services(pins: Path, wanted: str) -> dict[Family, int]:
    """The ids of the one service port that is meant, by family."""
    found: dict[str, dict[Family, int]] = {}
    for family, names in read_notes(pins).names.items():
        for number, name in names.items():
            if wanted in {str(name), f"{name.namespace}/{name.name}"}:
                found.setdefault(f"{name} ({name.protocol.name})", {})[Family(family)] = number
    if not found:
        raise TcnatError(f"no Service port {wanted} is served under {pins}: see `tcnat get services`")
    if len(found) > 1:
        raise TcnatError(f"{wanted} has several ports, name one of them: {', '.join(sorted(found))}")
    return next(iter(found.values()))


@contextmanager
def _ends() -> Iterator[list[int]]:
    """The signals that ask for an end, as they come; a TERM ends as well as Ctrl-C does."""
    ended: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, _: ended.append(number)) for number in signals}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _until(session: Session, ended: list[int], seconds: float | None) -> Iterator[Decision]:
    """Decisions until the time is up or somebody ends us."""
    stop = time.monotonic() + seconds if seconds else float("inf")
    while not ended and (left := stop - time.monotonic()) > 0:
        yield from session.decisions(min(_LOOK, left))


class _Output:
    """Where decisions go."""

    def __init__(self, form: str, pcap: Path | None) -> None:
        self._form = form
        self._stream: TextIO = sys.stdout
        self._epoch = time.time() - time.monotonic()
        self._pcap: Any = _open_pcap(pcap) if pcap else None

    def show(self, decision: Decision) -> None:
        """One decision: a line, and the packet before and after."""
        device = _device_name(decision.after.device)
        if self._form == "json":
            line = json.dumps(decision.as_dict(device, self._epoch))
        else:
            clock = datetime.fromtimestamp(decision.after.time / 1e9 + self._epoch).strftime("%H:%M:%S.%f")
            line = decision.as_line(device, clock)
        self._stream.write(line + "\n")
        self._stream.flush()
        if self._pcap is not None:
            for event in (decision.before, decision.after):
                if event is not None:
                    self._write(event)

    def _write(self, event: Event) -> None:
        seconds, nanoseconds = divmod(event.time + int(self._epoch * 1e9), 10**9)
        frame = event.frame
        self._pcap.write_packet(
            frame, sec=seconds, usec=nanoseconds, wirelen=event.length - len(event.packet) + len(frame)
        )

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pcap is not None:
            self._pcap.close()


def _open_pcap(path: Path) -> Any:
    from scapy.utils import RawPcapWriter  # noqa: PLC0415 - heavy, and seldom asked for

    try:
        writer = RawPcapWriter(str(path), linktype=_ETHERNET, nano=True, sync=True)
        writer.write_header(None)
    except OSError as error:
        raise TcnatError(f"{path} cannot be written: {error.strerror}") from None
    return writer


@cache
def _device_name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"if{index}"
