"""What happens in a run, one event after the other, and how it is kept in a capture.

In the capture a frame stands under the name of the program that it is given to, as its interface; events that are no
frames (time, endpoints, Services, settings) are comments of the frame that follows them, in JSON. So the file can be
looked at with any tool, and replayed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter, RawPcapNgReader

from tcnat.layout import ServiceFlag
from tests.packets.world import Endpoint, FrontEnd, World

INTERFACE = {"egress": "tc_egress", "ingress": "tc_ingress"}
PROGRAM = {name: program for program, name in INTERFACE.items()}


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame for one of the programs."""

    program: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Become:
    """Other Services or endpoints from now on."""

    world: World


@dataclass(frozen=True, slots=True)
class Set:
    """Settings, as numbers: choices by ``tcnat.layout.Choice``."""

    unknown_port: int
    echo: int
    rejects_per_second: int
    masquerade: str = "nobody"
    """"nobody"; "outside" of the network of both clients; "all"."""
    overlay: bool = False
    """Whether the clients' network, which backends can be in, too, is behind an overlay."""


@dataclass(frozen=True, slots=True)
class Lose:
    """The kernel pushes one half of a flow out: source, destination, ports, protocol, direction."""

    key: tuple[str, str, int, int, int, int]


Event = Frame | Wait | Become | Set | Lose


def to_json(event: Wait | Become | Set | Lose) -> str:
    """An event that is no frame, as a line."""
    return json.dumps({type(event).__name__: asdict(event)})


def from_json(line: str) -> Event:
    """The event in a line."""
    [(name, fields)] = json.loads(line).items()
    if name == "Become":
        return Become(_world(fields["world"]))
    if name == "Lose":
        return Lose(tuple(fields["key"]))
    kinds: dict[str, type[Wait] | type[Set]] = {"Wait": Wait, "Set": Set}
    return kinds[name](**fields)


def _world(fields: dict[str, Any]) -> World:
    front_ends = [
        FrontEnd(**{**each, "slots": tuple(each["slots"]), "flags": ServiceFlag(each["flags"])})
        for each in fields["front_ends"]
    ]
    return World(front_ends, [Endpoint(**each) for each in fields["endpoints"]])


def write(path: Path, family: int, events: Iterable[Event]) -> None:
    """Keep a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    comments = [json.dumps({"family": family})]
    with PcapNgWriter(str(path)) as writer:
        for second, event in enumerate(events):
            if not isinstance(event, Frame):
                comments.append(to_json(event))
                continue
            packet = Ether(event.frame)
            packet.sniffed_on = INTERFACE[event.program]
            packet.comments = [line.encode() for line in comments]
            packet.time = second
            writer.write(packet)
            comments = []


def read(path: Path) -> tuple[int, list[Event]]:
    """The family and the events of a run that was kept."""
    family, events = 0, []
    for frame, comments, interface in _packets(path):
        for line in comments:
            if "family" in (fields := json.loads(line)):
                family = fields["family"]
            else:
                events.append(from_json(line))
        events.append(Frame(PROGRAM[interface], frame))
    return family, events


def _packets(path: Path) -> Iterator[tuple[bytes, Sequence[str], str]]:
    with RawPcapNgReader(str(path)) as reader:
        for frame, metadata in reader:
            comments = metadata.comments or []
            yield frame, [line.decode() for line in comments], metadata.ifname.decode()
