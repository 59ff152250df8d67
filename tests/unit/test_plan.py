"""What holds for every plan, whatever changes: carried out step by step on plain dicts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tcnat.layout import ServiceFlag
from tcnat.plan import difference, plan

from .fakes import expected_flags
from .front_ends import changes
from .plan_bench import HELPERS, Bench, Changed, comparable, full_plan, recovered, writes


@given(st.lists(changes(), max_size=6))
def test_no_prefix_of_the_steps_leaves_half_a_front_end(rounds: list[Changed]) -> None:
    bench = Bench()
    for changed in rounds:
        bench.apply(changed)
        bench.check()
        assert not writes(plan(bench.present, difference(bench.present, bench.wanted)).steps)
        assert comparable(bench.present) == comparable(recovered(bench.contents, *bench.limits))


@given(st.lists(changes(), min_size=1, max_size=5), st.data())
def test_a_crash_after_any_step_is_mended_by_the_next_full_plan(rounds: list[Changed], data: st.DataObject) -> None:
    bench = Bench()
    for changed in rounds:
        steps = plan(bench.present, changed).steps
        for step in steps[: data.draw(st.integers(0, len(steps)))]:
            bench.run(step)
        bench.restart()
        bench.wanted = {key: wanted for key, wanted in changed.items() if wanted}
        full_plan(bench)
        bench.check()
        assert not writes(plan(bench.present, difference(bench.present, bench.wanted)).steps)


@given(st.lists(changes(), min_size=1, max_size=4))
def test_a_restart_with_nothing_changed_writes_nothing(rounds: list[Changed]) -> None:
    bench = Bench()
    for changed in rounds:
        bench.apply(changed)
    bench.restart()
    steps = plan(bench.present, difference(bench.present, bench.wanted)).steps
    assert not writes(steps)
    for step in steps:
        bench.run(step)
    assert bench.present.service_ids.keys() == {wanted.service for wanted in bench.wanted.values()}


@given(st.lists(changes(most=4), min_size=1, max_size=6), st.data())
def test_what_fits_works_and_what_does_not_is_told(rounds: list[Changed], data: st.DataObject) -> None:
    limits = data.draw(st.tuples(st.integers(1, 30), st.sampled_from((2, 100, 400, 900)), st.integers(1, 20)))
    bench = Bench(*limits)
    for changed in rounds:
        decided = plan(bench.present, changed)
        for step in decided.steps:
            bench.run(step)
        unfit = {each.front_end.key: each.front_end for each in decided.unfit}
        seen = bench.contents.front_ends()
        for key, wanted in changed.items():
            live = key in seen and not seen[key].flags & ServiceFlag.DRAINING
            if wanted is None:
                assert not live
            elif key in unfit:
                assert unfit[key] == wanted
                assert not live or set(seen[key].shares) <= set(wanted.backends)
            else:
                assert set(seen[key].shares) == set(wanted.backends)
                assert seen[key].flags & ~HELPERS == expected_flags(wanted)


@given(changes(), changes())
def test_planning_changes_nothing(first: Changed, second: Changed) -> None:
    bench = Bench()
    bench.apply(first)
    once, again = plan(bench.present, second), plan(bench.present, second)
    assert once == again
    assert comparable(bench.present) == comparable(recovered(bench.contents, *bench.limits))
