"""The ports map: a bit wherever the services map has an entry, at any moment."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from tcnat.layout import MAPS, Family
from tcnat.maps import MapStore
from tcnat.model import Backend, FrontEnd, FrontEndKey, Protocol, ServicePortName, Verdict
from tcnat.ports import Ports, serve_every_port
from tests.unit.fakes import FakeMap, fake_maps

NUMBERS = st.sampled_from([0, 1, 63, 64, 80, 127, 443, 32767, 65535])


def key(port: int, address: str = "10.0.0.1") -> bytes:
    return ip_address(address).packed + port.to_bytes(2, "big") + bytes([6, 0])


def known(ports: FakeMap) -> set[int]:
    """By the words alone: bit b of word w is port 64·w + b."""
    words = {int.from_bytes(index, "little"): int.from_bytes(bits, "little") for index, bits in ports.content.items()}
    return {64 * word + bit for word, bits in words.items() for bit in range(64) if bits >> bit & 1}


def ports_in(services: Iterable[bytes]) -> set[int]:
    return {int.from_bytes(each[-4:-2], "big") for each in services}


def test_a_port_is_known_as_long_as_an_entry_has_it() -> None:
    ports = FakeMap(MAPS["ports"], Family.IPV4)
    kept = Ports(ports)
    kept.add([key(80), key(80, "10.0.0.2"), key(65535)])
    assert known(ports) == {80, 65535}
    kept.remove([key(80), key(65535)])
    assert known(ports) == {80}
    kept.remove([key(80, "10.0.0.2")])
    assert known(ports) == set()


def test_only_what_changes_is_written() -> None:
    ports = FakeMap(MAPS["ports"], Family.IPV4)
    kept = Ports(ports)
    kept.become([key(80), key(81), key(443)])
    assert ports.writes == 2
    kept.become([key(80), key(81), key(443)])
    kept.add([key(81, "10.0.0.2")])
    kept.remove([key(81)])
    assert ports.writes == 2


def test_of_maps_that_nobody_has_read_every_port_may_be_served() -> None:
    ports = FakeMap(MAPS["ports"], Family.IPV4)
    serve_every_port(ports)
    assert known(ports) == set(range(65536))
    Ports(ports).become([key(80)])
    assert known(ports) == {80}


class Watching(FakeMap):
    """The services map, which wants each entry's port to be known as long as it is there."""

    def __init__(self, ports: FakeMap) -> None:
        super().__init__(MAPS["services"], Family.IPV4)
        self._ports = ports

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        super().update(key, value, flags)
        assert ports_in(self.content) <= known(self._ports)

    def delete(self, key: bytes) -> bool:
        assert ports_in(self.content) <= known(self._ports)
        return super().delete(key)


@given(
    st.lists(
        st.dictionaries(
            st.tuples(st.integers(1, 3), NUMBERS.filter(bool)), st.sets(NUMBERS.filter(bool), max_size=2), max_size=4
        ),
        max_size=5,
    )
)
def test_in_step_with_the_services_map_at_any_moment(rounds: list[dict[tuple[int, int], set[int]]]) -> None:
    maps = fake_maps()
    maps["services"] = Watching(maps["ports"])
    store = MapStore(Family.IPV4, maps)  # type: ignore[arg-type]
    store.read()
    for number, wanted in enumerate(rounds):
        front_ends = {each.key: each for each in (front_end(*where, ends) for where, ends in wanted.items())}
        store.resync(front_ends)
        if number % 2:
            store.remove_drained(())
            assert known(maps["ports"]) == ports_in(maps["services"].content)
        if number == 2:  # a restart
            store = MapStore(Family.IPV4, maps)  # type: ignore[arg-type]
            store.read()
            assert known(maps["ports"]) == ports_in(maps["services"].content)


def front_end(address: int, port: int, ends: set[int]) -> FrontEnd:
    where = FrontEndKey(ip_address(f"10.96.0.{address}").packed, port, Protocol.TCP)
    backends = tuple(sorted(Backend(ip_address("10.0.0.7").packed, each) for each in ends))
    name = ServicePortName("default", f"service-{address}-{port}", "", Protocol.TCP)
    return FrontEnd(where, name, Verdict.DNAT if backends else Verdict.REJECT, backends)
