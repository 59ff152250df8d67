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
        free = runs.free()
        assert free.fits(size) == (longest >= size)
        if takes and free.fits(size):
            base = free.take(size)
            runs.claim(base, size)
            assert base + size <= capacity
            assert used.isdisjoint(range(base, base + size))
            taken.append((base, size))
        elif taken:
            runs.give(*taken.pop(choice % len(taken)))


def test_a_hole_of_the_wanted_size_is_used_before_a_larger_one() -> None:
    runs = Runs(100, [(10, 3), (18, 3)])
    free = runs.free()
    assert [free.take(5), free.take(9), free.take(1)] == [13, 0, 9]


@given(st.lists(st.sampled_from([2, 5, 17]), max_size=20), st.sets(st.integers(0, 19)))
def test_runs_are_given_out_as_they_would_be_taken_one_by_one(sizes: list[int], gone: set[int]) -> None:
    planned, taken = (Runs(100, [(each * 5, 2) for each in range(20)]) for _ in range(2))
    for each in gone:
        planned.give(each * 5, 2)
        taken.give(each * 5, 2)
    free, given_out = planned.free(), []
    for size in sizes:
        assert free.left == taken.left
        assert free.fits(size) == taken.free().fits(size)
        if free.fits(size):
            base = free.take(size)
            assert base == taken.free().take(size)
            taken.claim(base, size)
            given_out.append((base, size))
    for run in sorted(given_out):
        planned.claim(*run)
    assert planned.left == taken.left


def test_runs_can_start_from_what_is_taken() -> None:
    runs = Runs(10, [(2, 3), (5, 1), (8, 2)])
    assert runs.left == 4
    free = runs.free()
    assert sorted([free.take(2), free.take(2)]) == [0, 6]
    assert not free.fits(1)
