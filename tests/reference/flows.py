"""Flows: how one is found, kept or made anew ("tc_egress", steps 2 to 5), and what packets tell of it ("State")."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.reference import tables
from tests.reference.hashing import flow_hash, mix
from tests.reference.reading import Packet
from tests.reference.tables import (
    ESTABLISHED,
    Affinity,
    Backend,
    Ends,
    Flow,
    FlowKey,
    Service,
    ServiceKey,
    State,
    Tables,
)

SOURCE_PORT_TRIES = 8
RST_WINDOW = 1 << 24
REUSE_AFTER = 2
DONE_AFTER = 5
"""Seconds."""
SCTP_INIT = 1
CHUNK_HEADER = 4


class Dropped(Exception):
    """The packet ends here, under a reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def key_of(ends: Ends, protocol: int, *, forward: bool) -> FlowKey:
    """The key of a packet."""
    return FlowKey(*ends, protocol, forward)


def ends_of(key: FlowKey) -> Ends:
    """The ends of the packets that a key names."""
    return Ends(*key[:4])


def other_key(key: FlowKey, flow: Flow) -> FlowKey:
    """The key of the other half."""
    return key_of(flow.to.turned(), key.protocol, forward=not key.forward)


def answers(other: Flow | None, key: FlowKey) -> bool:
    """Whether a half is the other half of the conversation whose packets have this key."""
    return other is not None and other.to == ends_of(key).turned()


def starts(packet: Packet) -> bool:
    """A TCP SYN without ACK, or an SCTP INIT: a client that begins."""
    if packet.protocol == tables.TCP:
        return "S" in packet.header.flags and "A" not in packet.header.flags
    return packet.protocol == tables.SCTP and len(packet.payload) >= CHUNK_HEADER and packet.payload[0] == SCTP_INIT


def generation_matches(state: Tables, holder: Flow | Affinity) -> bool:
    """Whether the backend is still the one that was chosen."""
    backend = state.backends.get(holder.backend)
    return backend is not None and backend.generation == holder.generation


def kept_flow(state: Tables, packet: Packet, key: FlowKey, entry: Service) -> Flow | None:
    """The flow that this packet belongs to, if it may go on (step 2)."""
    flow = state.find(key)
    if flow is None or not fits_entry(flow, entry):
        return None
    if packet.protocol == tables.TCP and starts(packet) and flow.state in (State.CLOSING, State.CLOSED):
        return None
    if "DIRECT" in flow.flags:
        return flow
    if packet.protocol == tables.UDP and entry.flags & {"DRAINING", "REJECT", "DROP"}:
        return None
    asks_anew = starts(packet) or packet.protocol == tables.UDP
    return None if asks_anew and not generation_matches(state, flow) else flow


def fits_entry(flow: Flow, entry: Service) -> bool:
    """Whether the destination still is what it was when the flow began: a front end, or a backend's own address."""
    if "DIRECT" in flow.flags:
        return "DIRECT" in entry.flags and "FRONT_END" not in entry.flags
    return "FRONT_END" in entry.flags


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend, and what a flow to it will carry."""

    number: int
    backend: Backend
    service: int
    source: str
    flags: frozenset[str]


def choose(state: Tables, key: FlowKey, entry: Service) -> Choice:
    """The backend of a new flow (step 4)."""
    if "FRONT_END" not in entry.flags:
        itself = Backend(key.destination, key.destination_port, 0)
        source, flags = source_of(state, key, itself, direct=True)
        return Choice(tables.DIRECT_BACKEND, itself, 0, source, flags | {"DIRECT"})
    number = affine_backend(state, key, entry)
    if number is None:
        slot = entry.base + (flow_hash(ends_of(key), key.protocol) * entry.count >> 32)
        number = state.slots.get(slot)
    backend = state.backends.get(number) if number is not None else None
    if backend is None or backend.generation == 0:
        raise Dropped("BACKEND_MISSING")
    if entry.affinity:
        state.affinity[key.source, entry.service] = Affinity(number, backend.generation, state.seconds)
    return Choice(number, backend, entry.service, *source_of(state, key, backend, direct=False))


def turns_back(state: Tables, key: FlowKey, backend: Backend) -> bool:
    """Whether the way to a backend is another than that to the front end (step 4, "Source")."""
    if backend.address == key.source:
        return True
    pods = state.settings.pods
    elsewhere = backend.address in state.local_addresses or (pods.overlay and pods.has(backend.address))
    return elsewhere and not state.at_workload


def becomes_device(state: Tables, key: FlowKey, *, direct: bool) -> bool:
    """Whether the source becomes the device's own address, which the device must have for that."""
    if state.at_workload or state.device_address is None:
        return False
    return "SERVICE_ADDRESS" in state.address_flags(key.source) if direct else is_masqueraded(state, key.source)


def is_masqueraded(state: Tables, source: str) -> bool:
    """Rule 26."""
    pods = state.settings.pods
    return pods.masquerade == "all" or (pods.masquerade == "outside" and not pods.has(source))


def source_of(state: Tables, key: FlowKey, backend: Backend, *, direct: bool) -> tuple[str, frozenset[str]]:
    """The source that packets to a backend get, and the flags that tell of it."""
    source, flags = key.source, set[str]()
    if not direct and turns_back(state, key, backend):
        source, flags = key.destination, {"HAIRPIN", "SOURCE"}
    elif becomes_device(state, key, direct=direct):
        source = state.device_address or ""
        flags = {"SOURCE"} if source != key.source else set()
    if state.at_workload:
        flags |= {"AT_WORKLOAD"}
    elif flags:
        flags |= {"AT_NETWORK"}
    return source, frozenset(flags)


def affine_backend(state: Tables, key: FlowKey, entry: Service) -> int | None:
    """The backend that the client had last, while its affinity holds."""
    last = state.affinity.get((key.source, entry.service)) if entry.affinity else None
    if last is None or state.seconds - last.seen > entry.affinity or not generation_matches(state, last):
        return None
    return last.backend


def new_flow(state: Tables, packet: Packet, key: FlowKey, entry: Service) -> Flow:
    """Make both halves of a new conversation and give back the forward one."""
    choice = choose(state, key, entry)
    if packet.protocol == tables.SCTP and choice.backend.port != key.destination_port:
        raise Dropped("SCTP_PORT")
    forget_old(state, key)
    to, flags = free_ends(state, key, choice)
    if "HAIRPIN" in flags:
        state.hairpin = True
    first = State.UNANSWERED
    if packet.protocol == tables.TCP:
        first = first_tcp_state(packet)
    generation = choice.backend.generation
    flow = Flow(to, choice.number, generation, choice.service, state.seconds, first, flags)
    reply_key = other_key(key, flow)
    state.forget(reply_key)
    state.flows_new[reply_key] = reply_half(key, flow)
    state.flows_new[key] = flow
    return flow


def first_tcp_state(packet: Packet) -> State:
    """What the packet that makes a flow tells of it."""
    if "R" in packet.header.flags:
        return State.CLOSED
    return State.OPENING if starts(packet) else State.PICKED_UP


def forget_old(state: Tables, key: FlowKey) -> None:
    """Delete what an earlier conversation left under this key."""
    for table in (state.flows, state.flows_new):
        old = table.pop(key, None)
        if old is None:
            continue
        reply_key = other_key(key, old)
        for replies in (state.flows, state.flows_new):
            if answers(replies.get(reply_key), key):
                del replies[reply_key]


def free_ends(state: Tables, key: FlowKey, choice: Choice) -> tuple[Ends, frozenset[str]]:
    """What packets to the chosen backend become: with the client's port, or another if the reply key is taken."""
    ends = Ends(choice.source, choice.backend.address, key.source_port, choice.backend.port)
    if is_free(state, key, ends, choice):
        return ends, choice.flags
    if key.protocol != tables.SCTP:
        start = flow_hash(ends_of(key), key.protocol)
        for number in range(1, SOURCE_PORT_TRIES + 1):
            other = ends._replace(source_port=0x8000 | mix((start + number) & 0xFFFFFFFF) & 0x7FFF)
            if is_free(state, key, other, choice):
                return other, choice.flags | {"SOURCE"}
    raise Dropped("NO_SOURCE_PORT")


def is_free(state: Tables, key: FlowKey, ends: Ends, choice: Choice) -> bool:
    """Whether replies to these ends would belong to this conversation alone."""
    if "HAIRPIN" in choice.flags and ServiceKey(ends.source, ends.source_port, key.protocol) in state.services:
        return False
    reply_key = key_of(ends.turned(), key.protocol, forward=False)
    there = [table[reply_key] for table in (state.flows, state.flows_new) if reply_key in table]
    return all(answers(flow, key) or is_over(state, reply_key, flow) for flow in there)


def is_over(state: Tables, key: FlowKey, flow: Flow) -> bool:
    """Whether nobody waits for a flow any more: past its time, or closed from both sides and quiet since."""
    ended = key.protocol == tables.TCP and flow.state in (State.CLOSING, State.CLOSED)
    return not state.flow_lives(key, flow) or (ended and state.seconds - flow.seen >= REUSE_AFTER)


def reply_half(key: FlowKey, flow: Flow) -> Flow:
    """The half that turns the answers back into what the client expects."""
    return replace(flow, to=ends_of(key).turned(), ack=0, ack_seen=False)


def mend(state: Tables, key: FlowKey, flow: Flow) -> bool:
    """Write a kept flow's reply half anew if it is lost (step 5); False if its place is another conversation's."""
    reply_key = other_key(key, flow)
    there = state.find(reply_key)
    if there is not None:
        return answers(there, key)
    state.forget(reply_key)
    table = state.flows if state.flows.get(key) is flow else state.flows_new
    table[reply_key] = replace(reply_half(key, flow), seen=state.seconds)
    return True


def rests(state: Tables, packet: Packet, flow: Flow) -> bool:
    """Whether the reply half is not asked for: it was in this second, and the packet changes nothing (step 5)."""
    others = "AT_NETWORK" if state.at_workload else "AT_WORKLOAD"
    if flow.seen != state.seconds or others in flow.flags:
        return False
    if packet.protocol != tables.TCP:
        return flow.state in (State.ANSWERED, State.UNANSWERED)
    marks = set(str(packet.header.flags))
    return flow.state in ESTABLISHED - {State.CLOSED} and "A" in marks and not marks & set("SRF")


def move_to_network(state: Tables, key: FlowKey, flow: Flow) -> None:
    """A packet that the device of its workload did not rewrite: that one has lost its programs."""
    for half in (flow, state.find(other_key(key, flow))):
        if half is not None:
            half.flags -= {"AT_WORKLOAD"}


def follow(state: Tables, packet: Packet, key: FlowKey, flow: Flow) -> None:
    """Bring both halves up to date with a packet ("State"). A half whose other is lost keeps its state."""
    other = state.find(other_key(key, flow))
    if other is not None and not answers(other, key):
        other = None
    if flow.seen != state.seconds:
        for half in (flow, other):
            if half is not None:
                half.seen = state.seconds
                half.flags |= {"LASTS"}
    if other is None:
        note_acknowledgement(packet, flow)
        return
    promoted = follow_tcp(packet, key, flow, other) if packet.protocol == tables.TCP else follow_datagram(key, flow)
    other.state = flow.state
    if promoted:
        promote(state, key)
        promote(state, other_key(key, flow))
        become_recent(state, key)


def promote(state: Tables, key: FlowKey) -> None:
    """Move a half to the answered flows."""
    flow = state.flows_new.pop(key, None)
    if flow is not None:
        state.flows[key] = flow


def become_recent(state: Tables, key: FlowKey) -> None:
    """A conversation was answered: it takes the place of one long before it, which goes if it is done ("Recent")."""
    full = len(state.recent) == state.recent.maxlen
    earlier = state.recent.popleft() if full else None
    state.recent.append(key)
    flow = state.flows.get(earlier) if earlier else None
    if earlier is None or flow is None or not is_done(state, earlier, flow):
        return
    beside = state.flows.get(other_key(earlier, flow))
    if beside is not None and answers(beside, earlier):
        del state.flows[other_key(earlier, flow)]
    del state.flows[earlier]


def is_done(state: Tables, key: FlowKey, flow: Flow) -> bool:
    """Whether nobody waits for a flow any more: it is over, or was a question with its answer, some time ago."""
    asked = key.protocol == tables.UDP and "LASTS" not in flow.flags and state.seconds - flow.seen >= DONE_AFTER
    return asked or is_over(state, key, flow)


def follow_datagram(key: FlowKey, flow: Flow) -> bool:
    """UDP and SCTP; whether the conversation has just been answered."""
    if key.forward or flow.state is not State.UNANSWERED:
        return False
    flow.state = State.ANSWERED
    return True


def follow_tcp(packet: Packet, key: FlowKey, flow: Flow, other: Flow) -> bool:
    """TCP; whether the conversation has just proved to be one."""
    tcp = packet.header
    if "R" in tcp.flags:
        if flow.state not in ESTABLISHED or not other.ack_seen or (tcp.seq - other.ack) % (1 << 32) < RST_WINDOW:
            flow.state = State.CLOSED
        return False
    if "S" in tcp.flags:
        if flow.state is State.OPENING and not key.forward and "A" in tcp.flags:
            flow.state = State.OPENING_ANSWERED
            flow.ack = other.ack = (tcp.seq + 1) % (1 << 32)
        return False
    acked = key.forward and "A" in tcp.flags and tcp.ack == flow.ack
    proved = (flow.state is State.OPENING_ANSWERED and acked) or (flow.state is State.PICKED_UP and not key.forward)
    if proved:
        flow.state = State.OPEN
    note_acknowledgement(packet, flow)
    if "F" in tcp.flags:
        flow.state = after_fin(flow.state, forward=key.forward)
    return proved


def note_acknowledgement(packet: Packet, flow: Flow) -> None:
    """Remember what this side has acknowledged, for judging the other's RST."""
    if packet.protocol != tables.TCP or flow.state not in ESTABLISHED:
        return
    flags = packet.header.flags
    if "A" in flags and "R" not in flags and "S" not in flags:
        flow.ack, flow.ack_seen = packet.header.ack, True


def after_fin(state: State, *, forward: bool) -> State:
    """The state behind a FIN from one side."""
    own, others = State.CLIENT_CLOSED, State.BACKEND_CLOSED
    if not forward:
        own, others = others, own
    if state is State.OPEN:
        return own
    return State.CLOSING if state is others else state
