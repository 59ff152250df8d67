"""Slot tables: even shares, few moves, the same everywhere."""

from __future__ import annotations

import hashlib
import random
import struct
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcnat import maglev
from tcnat.model import Backend

SIZES = (2, 3, 4, 5, 6, 7, 10, 17, 20, 21, 40, 64, 80, 81, 150, 320, 321, 400)
"""Numbers of backends, with both sides of each step of the table's size."""


def backends(count: int, seed: int = 1, address_size: int = 4) -> list[Backend]:
    """Different ones, in the order of a front end's."""
    numbers = random.Random(seed)
    found: set[Backend] = set()
    while len(found) < count:
        found.add(Backend(numbers.randbytes(address_size), numbers.choice((53, 80, 8080))))
    return sorted(found)


def is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def by_the_paper(ends: list[Backend], size: int) -> list[int]:
    """Maglev's population as its paper writes it down (§3.4, pseudocode 1), in the order of the backends' hashes."""
    hashes = [hashlib.blake2b(each.address + struct.pack(">H", each.port), digest_size=16).digest() for each in ends]
    order = sorted(range(len(ends)), key=lambda index: hashes[index])
    offset = [int.from_bytes(each[:8], "big") % size for each in hashes]
    skip = [int.from_bytes(each[8:], "big") % (size - 1) + 1 for each in hashes]
    following = [0] * len(ends)
    entry = [-1] * size
    while -1 in entry:
        for index in order:
            if -1 not in entry:
                break
            while entry[slot := (offset[index] + following[index] * skip[index]) % size] >= 0:
                following[index] += 1
            entry[slot] = index
    return entry


def moved(before: list[Backend], after: list[Backend], size: int) -> float:
    """Which part of the slots of those that stay is someone else's after the others went."""
    old, new = maglev.table(before, size), maglev.table(after, size)
    kept = [(before[one], after[two]) for one, two in zip(old, new, strict=True) if before[one] in after]
    return sum(one != two for one, two in kept) / len(kept)


def test_no_backend_needs_no_slot_and_one_needs_two() -> None:
    assert maglev.table_size(0) == 0
    assert maglev.table([]) == []
    assert maglev.table_size(1) == 2
    assert maglev.table(backends(1)) == [0, 0]


@given(st.integers(2, 3000))
def test_a_size_is_a_prime_of_25_slots_or_more_for_each_backend(count: int) -> None:
    size = maglev.table_size(count)
    assert is_prime(size)
    assert 25 * count <= size <= 101 * max(count, 2) + 32


@given(st.integers(2, 500), st.integers(2, 500))
def test_the_size_that_stands_is_kept_where_it_still_fits(before: int, now: int) -> None:
    present = maglev.table_size(before)
    size = maglev.table_size(now, present)
    assert size >= 25 * now
    if now <= before <= 8 * now:
        assert size == present


@pytest.mark.parametrize("count", [*SIZES, 1000])
@pytest.mark.parametrize("address_size", [4, 16])
def test_a_table_is_the_papers(count: int, address_size: int) -> None:
    ends = backends(count, seed=count, address_size=address_size)
    random.Random(count).shuffle(ends)
    for present in (0, maglev.table_size(4 * count)):
        size = maglev.table_size(count, present)
        assert maglev.table(ends, size) == by_the_paper(ends, size)


def test_numbers_stand_where_their_backends_are() -> None:
    ends = backends(9)
    numbers = random.Random(1).sample(range(1, 1 << 32), 9)
    preferences = [maglev.preference(each.address + struct.pack(">H", each.port)) for each in ends]
    assert maglev.held(preferences, numbers) == [numbers[index] for index in maglev.table(ends)]
    assert maglev.held(preferences[:1], [7]) == [7, 7]


def test_a_table_that_is_far_too_large_shrinks() -> None:
    assert maglev.table_size(2, maglev.table_size(1000)) == maglev.table_size(2)


def test_a_size_that_is_none_of_ours_but_fits_nothing_is_not_kept() -> None:
    assert maglev.table_size(10, 2) == maglev.table_size(10)


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("address_size", [4, 16])
def test_shares_are_within_5_percent_of_even(count: int, address_size: int) -> None:
    table = maglev.table(backends(count, address_size=address_size))
    shares = Counter(table)
    assert set(shares) == set(range(count))
    even = len(table) / count
    assert all(abs(share - even) <= 0.05 * even for share in shares.values())


@pytest.mark.parametrize("count", SIZES[1:])
def test_when_one_of_n_goes_few_other_flows_move(count: int) -> None:
    """At most 1/N + 5 %, over several random sets, as the agent does it: the table's size stays."""
    numbers = random.Random(count)
    for seed in range(max(2, min(40, 400 // count))):
        before = backends(count, seed)
        gone = numbers.choice(before)
        after = [backend for backend in before if backend != gone]
        size = maglev.table_size(count - 1, maglev.table_size(count))
        assert moved(before, after, size) <= 1 / count + 0.05


@settings(max_examples=30)
@given(st.integers(2, 60), st.randoms(use_true_random=False))
def test_the_order_in_which_backends_come_does_not_matter(count: int, shuffler: random.Random) -> None:
    ordered = backends(count, seed=count)
    shuffled = ordered.copy()
    shuffler.shuffle(shuffled)
    assert [ordered[index] for index in maglev.table(ordered)] == [shuffled[index] for index in maglev.table(shuffled)]


def test_a_process_with_another_hash_seed_makes_the_same_table() -> None:
    program = (
        "from tcnat import maglev; from tcnat.model import Backend;"
        "print(maglev.table([Backend(bytes((10, 0, 0, n)), 80) for n in range(7)]))"
    )
    tables = {
        subprocess.check_output([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}) for seed in ("1", "2")
    }
    assert len(tables) == 1
    assert str(maglev.table([Backend(bytes((10, 0, 0, n)), 80) for n in range(7)])).encode() in tables.pop()


def test_ports_of_one_address_are_different_backends() -> None:
    table = maglev.table([Backend(b"\x0a\0\0\1", 80), Backend(b"\x0a\0\0\1", 81)])
    assert Counter(table)[0] == pytest.approx(Counter(table)[1], abs=1)
