"""Numbers and runs of slots, against a list that says of each who has it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tcnat.allocate import Numbers, Runs

moves = st.lists(st.tuples(st.booleans(), st.integers(0, 99)), max_size=60)


@given(moves)
def test_numbers_are_taken_lowest_first(moves: list[tuple[bool, int]]) -> None:
    numbers = Numbers(1, 11)
    taken: list[int] = []
    for takes, choice in moves:
        assert numbers.left == 10 - len(taken)
        if takes and numbers.left:
            free = numbers.free()
            lowest = free.take()
            rest = [free.take() for _ in range(free.left)]
            assert [lowest, *rest] == sorted(set(range(1, 11)).difference(taken))
            numbers.claim(lowest)
            taken.append(lowest)
        elif taken:
            numbers.give(taken.pop(choice % len(taken)))


@given(moves)
def test_runs_never_overlap_and_holes_join(moves: list[tuple[bool, int]]) -> None:
    capacity, sizes = 60, (2, 5, 17)
    runs = Runs(capacity)
    taken: list[tuple[int, int]] = []
    for takes, choice in moves:
        used = {slot for base, count in taken for slot in range(base, base + count)}
        assert runs.left == capacity - len(used)
        size = sizes[choice % len(sizes)]
        longest = max(map(len, "".join("#" if slot in used else "." for slot in range(capacity)).split("#")))
        assert runs.fits(size) == (longest >= size)
        if takes and runs.fits(size):
            base = runs.copy().take(size)
            assert runs.take(size) == base
            assert base + size <= capacity
            assert used.isdisjoint(range(base, base + size))
            taken.append((base, size))
        elif taken:
            runs.give(*taken.pop(choice % len(taken)))


def test_a_hole_of_the_wanted_size_is_used_before_a_larger_one() -> None:
    runs = Runs(100)
    bases = [runs.take(size) for size in (10, 3, 5, 3)]
    runs.give(bases[0], 10)
    runs.give(bases[2], 5)
    assert runs.take(5) == bases[2]
    assert runs.take(9) == bases[0]


def test_runs_can_start_from_what_is_taken() -> None:
    runs = Runs(10, [(2, 3), (5, 1), (8, 2)])
    assert runs.left == 4
    assert sorted([runs.take(2), runs.take(2)]) == [0, 6]
    assert not runs.fits(1)
