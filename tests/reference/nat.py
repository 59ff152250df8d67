"""What the two programs do with a packet: ``egress`` sees packets from clients, ``ingress`` packets to clients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from scapy.layers.l2 import Ether
from scapy.packet import Packet as Layer

from tests.reference import icmp, reject
from tests.reference.flows import (
    Dropped,
    follow,
    is_masqueraded,
    kept_flow,
    key_of,
    mend,
    move_to_network,
    new_flow,
    rests,
)
from tests.reference.reading import Packet, Passed, Piece, read
from tests.reference.tables import ICMP, Ends, Flow, FlowKey, Fragment, FragmentKey, Service, ServiceKey, Tables

REWRITTEN, REVERSED = 0x7C17, 0x7C18
"""The tc_index of a packet that tc_egress, or tc_ingress, has rewritten at an earlier device."""


class Verdict(Enum):
    """What a program returns."""

    PASS = -1
    DROP = 2
    SEND_BACK = 7


@dataclass(frozen=True, slots=True)
class Outcome:
    """A program's verdict, the frame as it leaves it, and the reason it is counted under (None: not counted)."""

    verdict: Verdict
    frame: bytes
    reason: str | None = None
    tc_index: int = 0

    @property
    def packet(self) -> Layer:
        """The frame as scapy sees it."""
        return Ether(self.frame)


class Datapath:
    """Both programs over one set of tables."""

    def __init__(self, tables: Tables, *, has_link_layer: bool = True) -> None:
        self.tables = tables
        self.has_link_layer = has_link_layer

    def egress(self, frame: bytes | Layer, tc_index: int = 0) -> Outcome:
        """A packet from a client."""
        frame = bytes(frame)
        if tc_index == REWRITTEN:
            return Outcome(Verdict.PASS, frame, None, tc_index)
        return self._counted(frame, self._egress)

    def ingress(self, frame: bytes | Layer, tc_index: int = 0) -> Outcome:
        """A packet to a client."""
        frame = bytes(frame)
        if tc_index in {REVERSED, REWRITTEN}:
            return Outcome(Verdict.PASS, frame, None, tc_index)
        return self._counted(frame, self._ingress)

    def _counted(self, frame: bytes, handle: Callable[[Packet, int], Outcome]) -> Outcome:
        try:
            outcome = handle(read(frame, self.tables.family, has_link_layer=self.has_link_layer), len(frame))
        except Passed as passed:
            outcome = Outcome(Verdict.PASS, frame, passed.reason)
        except Dropped as dropped:
            outcome = Outcome(Verdict.DROP, frame, dropped.reason)
        if outcome.reason:
            self.tables.count(outcome.reason, len(frame))
        return outcome

    def _egress(self, packet: Packet, length: int) -> Outcome:
        if packet.piece is Piece.LATER:
            return self._later_fragment_out(packet, length)
        if packet.protocol == ICMP[self.tables.family]:
            return self._icmp_out(packet)
        key = key_of(packet.ends(), packet.protocol, forward=True)
        entry = self.tables.services.get(ServiceKey(key.destination, key.destination_port, key.protocol))
        if entry is None:
            return self._hairpin_reply(packet, length) or self._unknown_port(packet)
        flow = kept_flow(self.tables, packet, key, entry)
        if flow is not None and (rests(self.tables, packet, flow) or mend(self.tables, key, flow)):
            if not self.tables.at_workload:
                move_to_network(self.tables, key, flow)
            return self._forward(packet, key, flow, length)
        return self._begin(packet, key, entry, length)

    def _begin(self, packet: Packet, key: FlowKey, entry: Service, length: int) -> Outcome:
        """Steps 3 and 4."""
        if "DRAINING" in entry.flags:
            return self._unknown_port(packet)
        if "REJECT" in entry.flags:
            return self._reject(packet, "REJECT_NO_ENDPOINT", "NO_ENDPOINT")
        if "DROP" in entry.flags:
            raise Dropped("NO_LOCAL_ENDPOINT")
        if entry.count == 0 and "FRONT_END" in entry.flags:
            return self._reject(packet, "REJECT_NO_ENDPOINT", "NO_ENDPOINT")
        if self.tables.at_workload and "FRONT_END" in entry.flags and is_masqueraded(self.tables, key.source):
            self._remember(packet, forward=True, known=False)
            raise Passed
        return self._forward(packet, key, new_flow(self.tables, packet, key, entry), length, new=True)

    def _hairpin_reply(self, packet: Packet, length: int) -> Outcome | None:
        """Step 1a: the answer of a client that is its own backend."""
        if not self.tables.hairpin:
            return None
        key = key_of(packet.ends(), packet.protocol, forward=False)
        flow = self.tables.find(key)
        if flow is None or "HAIRPIN" not in flow.flags:
            return None
        self._reverse(packet, key, flow, length)
        return self._sent_back(packet, "REVERSED")

    def _unknown_port(self, packet: Packet) -> Outcome:
        """Steps 1b and 1c."""
        ours = "SERVICE_ADDRESS" in self.tables.address_flags(packet.ip.dst)
        choice = self.tables.settings.unknown_port
        if ours and choice == "DROP":
            raise Dropped("UNKNOWN_PORT")
        if ours and choice == "REJECT":
            return self._reject(packet, "REJECT_UNKNOWN_PORT", "UNKNOWN_PORT")
        if ours:
            self._remember(packet, forward=True, known=False)
        raise Passed

    def _reject(self, packet: Packet, reason: str, instead: str) -> Outcome:
        if not reject.can_be_rejected(packet):
            raise Dropped(instead)
        if not self.tables.limiter.take(self.tables.now, self.tables.settings.rejects_per_second):
            raise Dropped("REJECT_LIMITED")
        return Outcome(Verdict.SEND_BACK, reject.rejection(packet), reason)

    def _forward(self, packet: Packet, key: FlowKey, flow: Flow, length: int, *, new: bool = False) -> Outcome:
        if not new:
            follow(self.tables, packet, key, flow)
        if stays_as_it_is(packet.ends(), flow):
            self._remember(packet, forward=True, known=False)
            raise Passed
        self._remember(packet, forward=True, known=True)
        self._leave_to_others(flow)
        packet.readdress(flow.to)
        self.tables.count_service(flow.service, length, forward=True, new_flow=new)
        if "HAIRPIN" in flow.flags:
            return self._sent_back(packet, "FORWARDED")
        return Outcome(Verdict.PASS, bytes(packet), "FORWARDED", REWRITTEN)

    def _sent_back(self, packet: Packet, reason: str) -> Outcome:
        if packet.link:
            packet.link = reject.turned_link(packet)
        return Outcome(Verdict.SEND_BACK, bytes(packet), reason)

    def _leave_to_others(self, flow: Flow) -> None:
        """A workload's device does not rewrite for a flow whose source a device at the network translates, nor the
        other way round for one that a workload's device made."""
        if ("AT_NETWORK" if self.tables.at_workload else "AT_WORKLOAD") in flow.flags:
            raise Passed

    def _reverse(self, packet: Packet, key: FlowKey, flow: Flow, length: int) -> None:
        follow(self.tables, packet, key, flow)
        self._remember(packet, forward=False, known=True)
        self._leave_to_others(flow)
        packet.readdress(flow.to)
        self.tables.count_service(flow.service, length, forward=False)

    def _ingress(self, packet: Packet, length: int) -> Outcome:
        if packet.piece is Piece.LATER:
            return self._later_fragment_in(packet, length)
        if packet.protocol == ICMP[self.tables.family]:
            return self._icmp_in(packet)
        key = key_of(packet.ends(), packet.protocol, forward=False)
        flow = self.tables.find(key)
        if flow is None:
            if "BACKEND_ADDRESS" in self.tables.address_flags(packet.ip.src):
                self._remember(packet, forward=False, known=False)
            raise Passed
        if stays_as_it_is(packet.ends(), flow):
            follow(self.tables, packet, key, flow)
            self._remember(packet, forward=False, known=False)
            raise Passed
        self._reverse(packet, key, flow, length)
        return Outcome(Verdict.PASS, bytes(packet), "REVERSED", REVERSED)

    def _fragment_key(self, packet: Packet, *, forward: bool) -> FragmentKey:
        protocol = packet.protocol if self.tables.family == 4 else 0
        return FragmentKey(packet.ip.src, packet.ip.dst, packet.fragment_id, protocol, forward)

    def _remember(self, packet: Packet, *, forward: bool, known: bool) -> None:
        """Note a first fragment's ports for the later ones."""
        if packet.piece is Piece.FIRST:
            first = Fragment(
                packet.header.sport, packet.header.dport, packet.protocol if known else 0, self.tables.seconds
            )
            self.tables.fragments[self._fragment_key(packet, forward=forward)] = first

    def _later_fragment_out(self, packet: Packet, length: int) -> Outcome:
        first = self.tables.find_fragment(self._fragment_key(packet, forward=True))
        if first is not None:
            return self._follow_first(packet, first, length, forward=True, at_client=True)
        first = self.tables.find_fragment(self._fragment_key(packet, forward=False)) if self.tables.hairpin else None
        if first is not None:
            return self._follow_first(packet, first, length, forward=False, at_client=True)
        if "SERVICE_ADDRESS" in self.tables.address_flags(packet.ip.dst):
            raise Dropped("FRAGMENT_BEFORE_FIRST")
        raise Passed

    def _later_fragment_in(self, packet: Packet, length: int) -> Outcome:
        first = self.tables.find_fragment(self._fragment_key(packet, forward=False))
        if first is not None:
            return self._follow_first(packet, first, length, forward=False, at_client=False)
        if "BACKEND_ADDRESS" in self.tables.address_flags(packet.ip.src):
            raise Dropped("FRAGMENT_BEFORE_FIRST")
        raise Passed

    def _follow_first(self, packet: Packet, first: Fragment, length: int, *, forward: bool, at_client: bool) -> Outcome:
        if not first.protocol:
            raise Passed
        ends = packet.ends()._replace(source_port=first.source_port, destination_port=first.destination_port)
        flow = self.tables.find(key_of(ends, first.protocol, forward=forward))
        if flow is None:
            raise Dropped("FRAGMENT_FLOW_LOST")
        if stays_as_it_is(ends, flow):
            raise Passed
        self._leave_to_others(flow)
        if at_client and not forward and "HAIRPIN" not in flow.flags:
            raise Passed
        packet.readdress(flow.to)
        self.tables.count_service(flow.service, length, forward=forward)
        reason = "FRAGMENT_FORWARDED" if forward else "FRAGMENT_REVERSED"
        if at_client and "HAIRPIN" in flow.flags:
            return self._sent_back(packet, reason)
        return Outcome(Verdict.PASS, bytes(packet), reason, REWRITTEN if forward else REVERSED)

    def _icmp_out(self, packet: Packet) -> Outcome:
        family = self.tables.family
        if icmp.is_echo_request(packet, family):
            return self._echo(packet)
        if not icmp.is_error(packet, family):
            raise Passed
        quote = icmp.read_quote(packet.payload, family)
        flow = icmp.find_quoted(self.tables, quote, forward=True) if quote else None
        reason = "ICMP_FORWARDED"
        if flow is None and quote and self.tables.hairpin:
            reason, flow = "ICMP_REVERSED", icmp.find_quoted(self.tables, quote, forward=False)
            flow = flow if flow and "HAIRPIN" in flow.flags else None
        if flow is None:
            raise Passed("ICMP_UNKNOWN_FLOW")
        self._leave_to_others(flow)
        icmp.retell(packet, quote, flow, family)
        if "HAIRPIN" in flow.flags:
            return self._sent_back(packet, reason)
        return Outcome(Verdict.PASS, bytes(packet), reason, REWRITTEN)

    def _icmp_in(self, packet: Packet) -> Outcome:
        family = self.tables.family
        if not icmp.is_error(packet, family):
            raise Passed
        quote = icmp.read_quote(packet.payload, family)
        flow = icmp.find_quoted(self.tables, quote, forward=False) if quote else None
        if flow is None:
            raise Passed("ICMP_UNKNOWN_FLOW")
        self._leave_to_others(flow)
        icmp.retell(packet, quote, flow, family)
        return Outcome(Verdict.PASS, bytes(packet), "ICMP_REVERSED", REVERSED)

    def _echo(self, packet: Packet) -> Outcome:
        choice = self.tables.settings.echo
        if choice == "PASS" or "SERVICE_ADDRESS" not in self.tables.address_flags(packet.ip.dst):
            raise Passed
        if choice == "DROP":
            raise Dropped("ECHO_DROPPED")
        return Outcome(Verdict.SEND_BACK, reject.echo_reply(packet), "ECHO_ANSWERED")


def stays_as_it_is(ends: Ends, flow: Flow) -> bool:
    """A conversation straight to a backend: there is a flow, but nothing to rewrite."""
    return "DIRECT" in flow.flags and ends == flow.to
