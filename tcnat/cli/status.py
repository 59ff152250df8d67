"""``tcnat status``: whether the datapath stands, and what it does."""

from __future__ import annotations

import time
from pathlib import Path

import click

from tcnat.cli.reading import Screen, on_screen, pin_path_option
from tcnat.rows import endpoint_text, service_text
from tcnat.status import FamilyStatus, Status, read_status
from tcnat.tables import Output, document, human_bytes, table


@click.command("status")
@on_screen
@pin_path_option
@click.pass_context
def command(ctx: click.Context, screen: Screen, pin_path: Path) -> None:
    """Show whether the datapath stands, on which devices, how full its maps are, and what became of packets.

    Ends with 0 if the programs are loaded and a device carries them, with 1 if not. A table leaves out reasons that
    were never counted; -o wide shows every one.

    \b
    Examples:
      tcnat status
      tcnat status --watch
      tcnat status -o json
    """
    stands = False

    def draw() -> str:
        nonlocal stands
        status = read_status(pin_path, time.monotonic())
        stands = status.stands
        return status_text(status, screen.output) if screen.is_table else document(status, screen.output)

    screen.show(draw)
    ctx.exit(0 if stands else 1)


def status_text(status: Status, output: Output) -> str:
    """The status for people."""
    parts = [
        table((), _summary(status)),
        table(("FAMILY", "FRONT-ENDS", "DRAINING", "BACKENDS", "FLOWS", "UNANSWERED"), map(_family, status.families)),
        table(("MAP", "FAMILY", "USED", "ENTRIES", "FULL"), _maps(status)),
    ]
    reasons = _reasons(status, every=output is Output.WIDE)
    parts.append(table(("REASON", "VERDICT", "PACKETS", "BYTES", "WHAT"), reasons) if reasons else "no packet counted")
    if status.no_room:
        parts.append(table(("NO ROOM FOR", "SERVICE", "MAP", "ENTRIES"), _no_room(status)))
    return "\n\n".join(parts)


def _summary(status: Status) -> list[tuple[str, str]]:
    devices = ", ".join(
        f"{each.device} ({each.role or 'roles that contradict'}{'' if each.complete else ', incomplete'})"
        for each in status.devices
    )
    return [
        ("datapath", "stands" if status.stands else "loaded, but no device carries its programs"),
        ("pins", status.pins),
        ("agent", f"running (pid {status.agent_pid or 'not known'})" if status.agent_running else "not running"),
        ("devices", devices or "none"),
        ("redirect", ", ".join(map(_straight, status.families))),
    ]


def _straight(family: FamilyStatus) -> str:
    if not family.redirect:
        return f"IPv{family.family} no"
    past = f", {family.past_devices} past their devices" if family.past_devices else ""
    return f"IPv{family.family} yes ({family.reached} addresses{past})"


def _family(family: FamilyStatus) -> tuple[object, ...]:
    counts = family.front_ends, family.draining, family.backends, family.flows, family.unanswered_flows
    return f"ipv{family.family}", *counts


def _maps(status: Status) -> list[tuple[object, ...]]:
    return [
        (each.name, f"ipv{family.family}", each.used, each.entries, f"{each.used / each.entries:.1%}")
        for family in status.families
        for each in family.maps
    ]


def _reasons(status: Status, *, every: bool) -> list[tuple[object, ...]]:
    return [
        (each.reason, each.verdict, each.packets, human_bytes(each.bytes), each.words)
        for each in status.reasons
        if every or each.packets
    ]


def _no_room(status: Status) -> list[tuple[object, ...]]:
    return [
        (
            f"{endpoint_text(each.address, each.port)}/{each.protocol}",
            service_text(each.namespace, each.name, each.port_name),
            each.map,
            each.entries,
        )
        for each in status.no_room
    ]
