"""Front ends to plan with: few names and addresses, so that random changes of them meet often."""

from __future__ import annotations

from hypothesis import strategies as st

from tcnat.model import Backend, FrontEnd, FrontEndKey, Protocol, ServicePortName, Verdict, parse_address

FRONT_ADDRESSES = [parse_address(text) for text in ("10.96.0.1", "10.96.0.2", "10.0.0.1")]
BACKEND_ADDRESSES = [parse_address(text) for text in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.96.0.2")]
PORTS = (80, 443)

keys = st.builds(FrontEndKey, st.sampled_from(FRONT_ADDRESSES), st.sampled_from(PORTS), st.sampled_from(Protocol))
backends = st.builds(Backend, st.sampled_from(BACKEND_ADDRESSES), st.sampled_from(PORTS))


def service_name(name: str, protocol: Protocol = Protocol.TCP) -> ServicePortName:
    """A service port of that Service."""
    return ServicePortName("default", name, "main", protocol)


@st.composite
def front_ends(draw: st.DrawFn, key: FrontEndKey, most: int = 6) -> FrontEnd:
    """Any front end under that key."""
    name = service_name(draw(st.sampled_from("abc")), key.protocol)
    chosen = tuple(sorted(draw(st.sets(backends, max_size=most))))
    verdict = Verdict.DNAT if chosen else draw(st.sampled_from((Verdict.REJECT, Verdict.DROP)))
    return FrontEnd(key, name, verdict, chosen, draw(st.sampled_from((0, 0, 10800))))


@st.composite
def changes(draw: st.DrawFn, most: int = 6) -> dict[FrontEndKey, FrontEnd | None]:
    """Some front ends that come, change or go at once."""
    changed = draw(st.sets(keys, min_size=1, max_size=6))
    return {key: draw(st.none() | front_ends(key, most)) for key in sorted(changed)}


def front_end(
    address: str, name: str, *addresses: str, port: int = 80, protocol: Protocol = Protocol.TCP, affinity: int = 0
) -> FrontEnd:
    """A front end of a Service by name, with a backend on port 8080 of each address."""
    found = tuple(sorted(Backend(parse_address(text), 8080) for text in addresses))
    verdict = Verdict.DNAT if found else Verdict.REJECT
    key = FrontEndKey(parse_address(address), port, protocol)
    return FrontEnd(key, service_name(name, protocol), verdict, found, affinity)
