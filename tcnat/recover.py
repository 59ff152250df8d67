"""What the maps hold now, read from nothing but the maps. Pure: the contents come in as they were read.

An agent that was killed between two steps leaves backends that nothing names: they come out idle. Whatever else does
not fit together (a run that reaches past the map, holds an empty backend, is not the table of its backends, or overlaps
another; two services with one backend id) makes the front end that names it damaged.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from tcnat import maglev
from tcnat.allocate import Runs
from tcnat.entries import Front
from tcnat.layout import BACKEND, port_number
from tcnat.model import Backend
from tcnat.present import Present, Run
from tcnat.steps import WriteBackend


def recover(
    present: Present,
    services: Mapping[bytes, bytes],
    slots: Callable[[int], array[int]],
    backends: Iterable[bytes],
) -> None:
    """Fill an empty ``present`` from what the maps hold.

    ``slots`` gives so many slots from slot 0 on; ``backends`` are the values from id 0 on.
    """
    for key, value in services.items():
        present.services.replace(key, value)
    reach = max((front.base + front.slots for _, front in present.fronts()), default=0)
    _Recovery(present, slots(min(reach, present.free_slots.capacity)), backends).run()


class _Recovery:
    def __init__(self, present: Present, slots: array[int], backends: Iterable[bytes]) -> None:
        self.present = present
        self.slots = slots
        self.backends: list[Backend | None] = []
        self.is_size = cache(_is_size)
        self.named: list[tuple[int, int]] = []  # the runs that damaged front ends name
        codec = BACKEND.codec(present.family)
        nowhere = bytes(present.family.address_size)
        for number, value in enumerate(backends):
            address, port, _, generation = codec.unpack(value)
            in_use = number and address != nowhere
            self.backends.append(Backend(address, port_number(port)) if in_use else None)
            if generation:
                present.grow(number)
                present.generations[number] = generation

    def run(self) -> None:
        """All of it."""
        present = self.present
        fronts = sorted(present.fronts(), key=lambda entry: (entry[1].base, entry[1].slots))
        top = 0
        for key, front in fronts:
            if not self._sound(key, front, top):
                present.damaged[key] = front.unusable
                self.named.append((front.base, front.slots))
            elif front.slots:
                top = max(top, front.base + front.slots)
        self._take_slots()
        for key, front in present.fronts():
            present.use_front(key, None, front)
        self._keep_strangers()
        present.spared = present.numbers_without_run()
        present.inspect()

    def _sound(self, key: bytes, front: Front, top: int) -> bool:
        """Whether a front end can be served as it stands; keeps its backends and run. ``top`` is where the sound runs
        end that were met so far."""
        if not front.service:
            return False
        if not front.slots:
            return True
        standing = self.present.runs.get(front.base)
        if standing is not None:
            return standing.count == front.slots and self._owns(key, front.service, standing.numbers)
        held = self.slots[front.base : front.base + front.slots]
        numbers = self._numbers(held)
        if not numbers or not self._owns(key, front.service, numbers):
            return False
        for number in numbers:
            self._keep_backend(key, front.service, number)
        if front.base < top or self._table(numbers, front.slots) != held:
            return False
        self.present.use_run(front.base, Run(front.slots, numbers))
        return True

    def _numbers(self, held: Iterable[int]) -> tuple[int, ...]:
        """The ids among these slots that are a backend's, in the backends' order."""
        in_map = (number for number in set(held) if number < len(self.backends))
        found = sorted((backend, number) for number in in_map if (backend := self.backends[number]) is not None)
        return tuple([number for _, number in found])

    def _table(self, numbers: tuple[int, ...], slots: int) -> array[int] | None:
        """What the slots of these backends, which were kept, should hold; None if there cannot be so many."""
        if not self.is_size(slots, len(numbers)):
            return None
        return array("I", maglev.held(self.present.preferences(numbers), numbers, slots))

    def _owns(self, key: bytes, service: int, numbers: Iterable[int]) -> bool:
        """Whether nothing says that one of the backend ids belongs to another service or protocol."""
        for number in numbers:
            endpoint = self.present.endpoint(number)
            if endpoint is not None and (self.present.owners[number] != service or endpoint[-2] != key[-2]):
                return False
        return True

    def _keep_backend(self, key: bytes, service: int, number: int) -> None:
        present, backend = self.present, self.backends[number]
        if backend is not None and present.endpoint(number) is None:
            endpoint = backend.address + backend.port.to_bytes(2, "big") + key[-2:]
            present.backend_numbers.claim(number)
            present.keep_backend(WriteBackend(number, present.generation(number), service, endpoint))

    def _take_slots(self) -> None:
        """Take the slots of sound runs, and put the others that are named in quarantine until nothing names them."""
        present = self.present
        sound = sorted((base, run.count) for base, run in present.runs.items())
        present.quarantine = _without(self.named, sound, present.free_slots.capacity)
        present.free_slots = Runs(present.free_slots.capacity, sorted([*sound, *present.quarantine]))

    def _keep_strangers(self) -> None:
        """Backends that nobody knows the owner of: the next plan frees them."""
        present = self.present
        for number, backend in enumerate(self.backends):
            if backend is not None and present.endpoint(number) is None:
                present.grow(number)
                present.backend_numbers.claim(number)
                present.idle_backends.add(number)


def _is_size(count: int, backends: int) -> bool:
    """Whether a table of so many backends can have this size."""
    return maglev.table_size(backends, count) == count and (backends < 2 or maglev.is_prime(count))


def _without(
    named: Iterable[tuple[int, int]], sound: Iterable[tuple[int, int]], capacity: int
) -> list[tuple[int, int]]:
    """The disjoint parts of the ``named`` runs that lie in the map and in no ``sound`` one, in rising order."""
    edges: list[tuple[int, int, int]] = []
    for layer, runs in enumerate((named, sound)):
        for base, count in runs:
            edges += [(min(base, capacity), layer, 1), (min(base + count, capacity), layer, -1)]
    left: list[tuple[int, int]] = []
    depths = [0, 0]
    began = 0
    for at, layer, change in sorted(edges):
        if depths[0] and not depths[1] and at > began:
            left.append((began, at - began))
        began = at
        depths[layer] += change
    return left
