"""Programs in another shape, as they are loaded where the kernel's JIT gives the first one up: they do the same."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator

import pytest

from tcnat import jit, loader
from tcnat.bpf import BpfError, Map, Program, VerifierError
from tcnat.bytecode import bytecode
from tcnat.layout import Family
from tests.packets import test_icmp_errors, test_tcp, test_udp
from tests.packets.harness import Harness
from tests.packets.table import play

SEEDS = range(4)
ROWS = (*test_tcp.OPENING_ROWS, *test_tcp.CLOSING_ROWS, *test_udp.ROWS, *test_icmp_errors.ROWS)
"""Of what most of the programs do."""


class GivesUp:
    """In the place of the loader's last step: the kernel takes no program in its first shape."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen: set[str] = set()
        self._placed = loader._placed

    def __call__(self, code: bytes, name: str, family: Family, tails: Map) -> Program:
        if name not in self.seen:
            self.seen.add(name)
            raise VerifierError(f"the kernel refused program {name}", self.number, "processed 7 insns")
        return self._placed(code, name, family, tails)


@pytest.fixture(params=SEEDS)
def reshaped(family: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    """Every program in a shape that chance takes."""
    chance = random.Random(request.param)
    gives_up = GivesUp(errno.EINVAL)
    shapes = jit.variants
    monkeypatch.setattr(loader, "_placed", gives_up)
    monkeypatch.setattr(jit, "variants", lambda code: [chance.choice(list(shapes(code)))])
    made = Harness.load(family)
    assert gives_up.seen == {each.name for each in bytecode(Family(family)).programs}
    yield made
    made.close()


@pytest.mark.parametrize("family", [4, 6])
def test_programs_in_other_shapes_do_the_same(reshaped: Harness) -> None:
    for row in ROWS:
        if reshaped.family in row.families:
            play(row, reshaped)


@pytest.mark.parametrize("family", Family)
def test_a_shape_is_the_program_with_one_assignment_twice(family: Family) -> None:
    for program in bytecode(family).programs:
        shapes = list(jit.variants(program.instructions))
        assert 1 < len(shapes) <= jit.VARIANTS
        assert len(set(shapes)) == len(shapes)
        assert {len(shape) for shape in shapes} == {len(program.instructions) + 8}


@pytest.mark.parametrize("number", [errno.EINVAL, 524, errno.EACCES])
def test_a_program_that_no_shape_helps_is_refused_as_it_stood(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refuse(code: bytes, name: str, family: Family, tails: Map) -> Program:
        tried.append(code)
        raise VerifierError(f"number {len(tried)}", number, "")

    monkeypatch.setattr(loader, "_placed", refuse)
    with pytest.raises(BpfError, match=r"^number 1$"):
        loader.load_private(Family.IPV4)
    assert (len(tried) > 1) == (number in jit.GIVEN_UP)
