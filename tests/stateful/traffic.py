"""Random bytes in, frames out: what clients, backends and routers send, and what should never have been sent."""

from __future__ import annotations

import ipaddress
import struct
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.packets.names import Names, names_of
from tests.stateful import frames
from tests.stateful.frames import ICMP4, ICMP6, SCTP, TCP, UDP, Shape
from tests.stateful.script import Event, Frame, Lose

Option = TypeVar("Option")
Events = Generator[Event, bytes | None, None]
"""Events, each of which is answered by what became of its frame."""

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
FLAGS = (SYN, ACK, ACK, PSH | ACK, FIN | ACK, FIN | ACK, RST, RST | ACK, SYN | ACK, SYN | FIN, FIN, 0)
NUMBERS = (1000, 1001, 5000, 5001, 5001 + (1 << 24), 5000 + (1 << 24), 4999, 0xFFFFFFFF, 0)
"""Sequence and acknowledgement numbers: near each other, and on both sides of where a RST is taken."""
CLIENT_PORTS = (40000, 40001, 80, 53)
PAYLOADS = (b"", b"x", b"seven!!", b"thirty-two octets of some payload")
IDS = (1, 2, 0xBEEF)
EXTENSIONS = ((0,), (60,), (0, 43, 60), (43,) * 6, (0,) * 7)
KINDS = ("client",) * 6 + ("reply",) * 7 + ("open",) * 2 + ("later",) * 2 + ("error",) * 3 + ("echo", "noise", "lose")
REMEMBERED = 24


class Choices:
    """Random bytes as a row of choices; when they end, the first option is always taken."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def pick(self, options: Sequence[Option]) -> Option:
        """One of the options."""
        value = self._data[self._at] if self._at < len(self._data) else 0
        self._at += 1
        return options[value % len(options)]

    def __bool__(self) -> bool:
        """Whether any are left."""
        return self._at < len(self._data)


@dataclass(frozen=True, slots=True)
class Ends:
    """A conversation's ends, addresses in network order."""

    source: bytes
    destination: bytes
    ports: tuple[int, int]
    protocol: int

    def turned(self) -> Ends:
        """The other direction."""
        return Ends(self.destination, self.source, self.ports[::-1], self.protocol)


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame that came out of a program, and whether that was towards a backend."""

    frame: bytes
    ends: Ends
    forward: bool


class Traffic:
    """The world's traffic. It remembers what it saw, so that replies and errors have something to be about."""

    def __init__(self, family: int) -> None:
        self.family = family
        names = names_of(family)
        self._clients = [_packed(each) for each in (names.client, names.other_client, names.backend_two)]
        self._client_names = {_packed(each) for each in (names.client, names.other_client)}
        self._router = _packed(names.router)
        self._targets = [(_packed(address), port, protocol) for address, port, protocol in targets(names)]
        self._seen: deque[Seen] = deque(maxlen=REMEMBERED)

    def events(self, data: bytes) -> Events:
        """What these bytes stand for."""
        choices = Choices(data)
        while choices:
            yield from getattr(self, f"_{choices.pick(KINDS)}")(choices)

    def _client(self, choices: Choices) -> Events:
        """A client's packet to something."""
        ends = self._ends(choices)
        yield from self._give("egress", ends, self._segment(choices, ends), self._shape(choices))

    def _open(self, choices: Choices) -> Events:
        """A conversation from its beginning to its being open."""
        ends = self._ends(choices)
        if ends.protocol != TCP:
            result = yield from self._give("egress", ends, self._segment(choices, ends), Shape())
            if result and self._seen:
                yield from self._answer(choices, self._seen[-1])
            return
        yield from self._give("egress", ends, frames.tcp(ends.ports, 1000, 0, SYN, b""), Shape())
        if self._seen and self._seen[-1].forward:
            turned = self._seen[-1].ends.turned()
            answer = frames.tcp(turned.ports, 5000, 1001, SYN | ACK, b"")
            yield from self._give(self._way(turned), turned, answer, Shape())
        yield from self._give("egress", ends, frames.tcp(ends.ports, 1001, 5001, ACK, b""), Shape())

    def _reply(self, choices: Choices) -> Events:
        """What a backend sends back, or what a client goes on with."""
        if self._seen:
            yield from self._answer(choices, choices.pick(self._seen))

    def _answer(self, choices: Choices, seen: Seen) -> Events:
        turned = seen.ends.turned()
        way = self._way(turned) if seen.forward else "egress"
        yield from self._give(way, turned, self._segment(choices, turned), self._shape(choices))

    def _later(self, choices: Choices) -> Events:
        """A later fragment: of a client's datagram, or of a backend's."""
        ends, way = self._ends(choices), "egress"
        if self._seen and choices.pick((True, False)):
            ends = choices.pick(self._seen).ends.turned()
            way = self._way(ends)
        shape = Shape(fragment=(choices.pick(IDS), choices.pick((1, 185)), choices.pick((True, False))))
        packet = frames.ip(self.family, ends.source, ends.destination, ends.protocol, b"the rest", shape)
        yield Frame(way, frames.ethernet(self.family, packet, from_client=way == "egress"))

    def _error(self, choices: Choices) -> Events:
        """An ICMP error about something that was seen."""
        if not self._seen:
            return
        seen = choices.pick(self._seen)
        quote = seen.frame[14:]
        header = 20 if self.family == 4 else 40
        room = choices.pick((len(quote), header + 8, header + 12, header + 17, header + 18, header + 20, header + 7, 9))
        quote = quote[:room]
        if choices.pick((False,) * 7 + (True,)):
            at = choices.pick(range(min(len(quote), 60)))
            quote = quote[:at] + bytes((quote[at] ^ 1 << choices.pick(range(8)),)) + quote[at + 1 :]
        kinds = (3, 11, 12, 4, 5) if self.family == 4 else (1, 2, 3, 4, 100)
        source = choices.pick((self._router, seen.ends.destination))
        destination = seen.ends.source
        rest = struct.pack("!I", choices.pick((0, 1400))) + quote
        message = frames.icmp(self.family, source, destination, choices.pick(kinds), choices.pick(range(5)), rest)
        way = choices.pick(("ingress",) * 7 + ("egress",)) if seen.forward else "egress"
        yield self._icmp(way, source, destination, message)

    def _echo(self, choices: Choices) -> Events:
        """A ping to something."""
        source, (target, _, _) = choices.pick(self._clients), choices.pick(self._targets)
        kind = choices.pick((8, 8, 0, 13) if self.family == 4 else (128, 128, 129, 135))
        rest = b"\0\7\0\1" + choices.pick(PAYLOADS)
        message = frames.icmp(self.family, source, target, kind, choices.pick((0, 0, 0, 1)), rest)
        yield self._icmp("egress", source, target, message)

    def _icmp(self, way: str, source: bytes, destination: bytes, message: bytes) -> Frame:
        protocol = ICMP4 if self.family == 4 else ICMP6
        packet = frames.ip(self.family, source, destination, protocol, message)
        return Frame(way, frames.ethernet(self.family, packet, from_client=way == "egress"))

    def _noise(self, choices: Choices) -> Events:
        """Something that was seen, with a bit turned, or its end cut off."""
        if not self._seen:
            return
        seen = choices.pick(self._seen)
        frame = bytearray(seen.frame)
        least = 14 + (20 if self.family == 4 else 40)
        at = choices.pick(range(14, min(len(frame), 100)))
        frame[at] ^= 1 << choices.pick(range(8))
        if choices.pick((False, False, True)):
            del frame[least + choices.pick(range(64)) :]
        yield Frame(choices.pick(("egress", "ingress")), bytes(frame))

    def _lose(self, choices: Choices) -> Events:
        """One half of a flow is pushed out of its table: the one that the answer to something seen would need."""
        if not self._seen:
            return
        seen = choices.pick(self._seen)
        ends = seen.ends.turned()
        addresses = (str(ipaddress.ip_address(each)) for each in (ends.source, ends.destination))
        yield Lose((*addresses, *ends.ports, ends.protocol, not seen.forward))

    def _ends(self, choices: Choices) -> Ends:
        target, port, protocol = choices.pick(self._targets)
        return Ends(choices.pick(self._clients), target, (choices.pick(CLIENT_PORTS), port), protocol)

    def _way(self, ends: Ends) -> str:
        """The program that sees a backend's packet: a client that is its own backend sends to tc_egress."""
        return "egress" if ends.source in self._client_names else "ingress"

    def _segment(self, choices: Choices, ends: Ends) -> bytes:
        payload = choices.pick(PAYLOADS)
        if ends.protocol == TCP:
            return frames.tcp(ends.ports, choices.pick(NUMBERS), choices.pick(NUMBERS), choices.pick(FLAGS), payload)
        if ends.protocol == UDP:
            return frames.udp(ends.ports, payload)
        return frames.sctp(ends.ports, choices.pick((0, 1, 2)))

    def _shape(self, choices: Choices) -> Shape:
        kind = choices.pick(("plain",) * 10 + ("first",) * 4 + ("checksum", "padded", "headers"))
        if kind == "first":
            return Shape(fragment=(choices.pick(IDS), 0, True))
        if kind == "checksum":
            return Shape(checksum=choices.pick(("bad", "zero", "pseudo")))
        if kind == "padded":
            return Shape(padding=choices.pick((1, 6)))
        if kind == "headers":
            return Shape(options=4) if self.family == 4 else Shape(extensions=choices.pick(EXTENSIONS))
        return Shape()

    def _give(self, way: str, ends: Ends, segment: bytes, shape: Shape) -> Generator[Event, bytes | None, bytes | None]:
        """Send a segment, and remember what it became."""
        at = {TCP: 16, UDP: 6}.get(ends.protocol)
        if at is not None:
            segment = frames.summed(
                ends.source, ends.destination, ends.protocol, segment, at=at, checksum=shape.checksum
            )
        packet = frames.ip(self.family, ends.source, ends.destination, ends.protocol, segment, shape)
        frame = frames.ethernet(self.family, packet, from_client=way == "egress", padding=shape.padding)
        result = yield Frame(way, frame)
        if result is not None and len(result) == len(frame):
            ports = 14 + len(packet) - len(segment)
            self._seen.append(Seen(result, self._met(result, ports, ends.protocol), way == "egress"))
        return result

    def _met(self, frame: bytes, ports: int, protocol: int) -> Ends:
        """The ends in a frame whose ports lie at an offset."""
        at, size = (26, 4) if self.family == 4 else (22, 16)
        source, destination = frame[at : at + size], frame[at + size : at + 2 * size]
        sport, dport = struct.unpack_from("!HH", frame, ports)
        return Ends(source, destination, (sport, dport), protocol)


def targets(names: Names) -> list[tuple[str, int, int]]:
    """What clients send to: front ends mostly, and what is none."""
    return [
        *((address, 80, TCP) for address in (names.web_vip, names.other_web_vip, names.sticky_vip, names.self_vip)),
        *((address, 53, UDP) for address in (names.dns_vip, names.other_dns_vip, names.sticky_vip, names.self_vip)),
        (names.web_vip, 80, TCP),
        (names.dns_vip, 53, UDP),
        (names.sctp_vip, 3868, SCTP),
        (names.sctp_vip, 3869, SCTP),
        (names.backend_one, 8080, TCP),
        (names.backend_one, 5353, UDP),
        (names.backend_one, 3868, SCTP),
        (names.empty_vip, 80, TCP),
        (names.empty_vip, 80, UDP),
        (names.empty_vip, 80, SCTP),
        (names.local_vip, 80, TCP),
        (names.web_vip, 81, TCP),
        (names.dns_vip, 54, UDP),
        (names.stranger, 80, TCP),
    ]


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed
