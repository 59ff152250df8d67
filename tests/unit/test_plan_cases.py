"""Plans for one change at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tcnat.layout import ServiceFlag
from tcnat.model import Backend, FrontEnd, Protocol, Verdict, parse_address
from tcnat.plan import difference, plan, plan_drained
from tcnat.steps import ForgetService, Step

from .fakes import raw_key
from .front_ends import front_end
from .plan_bench import OTHER, WEB, Bench, numbers, served, writes


def test_an_endpoint_that_goes_from_one_service_keeps_its_generation_in_another() -> None:
    bench = served(WEB, OTHER)
    of_web, of_other = numbers(bench, WEB), numbers(bench, OTHER)
    bench.apply({WEB.key: replace(WEB, backends=WEB.backends[1:])})
    bench.check()
    gone = of_web[WEB.backends[0]]
    assert bench.contents.backend(gone[0])[1] != gone[1]
    assert numbers(bench, OTHER) == of_other
    assert numbers(bench, WEB) == {backend: of_web[backend] for backend in WEB.backends[1:]}


def test_an_endpoint_that_comes_back_is_not_taken_for_the_one_that_went() -> None:
    bench = served(WEB)
    before = numbers(bench, WEB)
    bench.apply({WEB.key: replace(WEB, backends=WEB.backends[1:])})
    bench.apply({WEB.key: WEB})
    after = numbers(bench, WEB)
    assert after[WEB.backends[0]] != before[WEB.backends[0]]
    assert after[WEB.backends[1]] == before[WEB.backends[1]]


def test_generations_go_on_after_a_restart() -> None:
    bench = served(WEB)
    bench.apply({WEB.key: None})
    bench.restart()
    bench.apply({WEB.key: WEB})
    bench.check()  # Bench.run has seen that no id had the same generation twice


def test_front_ends_of_a_service_share_one_run_of_slots() -> None:
    twin = front_end("10.96.0.7", "web", "10.0.0.1", "10.0.0.2", "10.0.0.3", port=81)
    bench = served(WEB, twin)
    assert len(bench.present.runs) == 1
    bench.apply({twin.key: None})
    bench.check()
    assert len(bench.present.runs) == 1


def test_a_run_that_was_freed_is_not_shared_any_more() -> None:
    both = replace(WEB, backends=WEB.backends[:2])
    first, second = (front_end(f"10.96.0.{n}", "web", f"10.0.0.{n - 10}") for n in (11, 12))
    bench = served(both, first, second)  # whose backends stand while the run of both goes
    bench.apply({WEB.key: replace(WEB, backends=WEB.backends[:1])})
    bench.apply({WEB.key: both})
    bench.check()


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.SCTP])
def test_a_front_end_that_goes_drains_until_it_has_no_flow(protocol: Protocol) -> None:
    web = front_end("10.96.0.1", "web", "10.0.0.1", protocol=protocol)
    key = raw_key(web.key.address, 80, protocol)
    bench = served(web)
    bench.apply({web.key: None})
    assert bench.contents.flags(key) == ServiceFlag.FRONT_END | ServiceFlag.DRAINING
    assert set(bench.contents.services) == {key}
    assert not plan_drained(bench.present, {key}).steps
    for step in plan_drained(bench.present, set()).steps:
        bench.run(step)
    assert not bench.contents.services
    assert ForgetService(1) in plan_drained_of(served(web), web)


def plan_drained_of(bench: Bench, gone: FrontEnd) -> tuple[Step, ...]:
    bench.apply({gone.key: None})
    return plan_drained(bench.present, ()).steps


def test_a_udp_front_end_that_goes_is_removed_at_once() -> None:
    dns = front_end("10.96.0.10", "dns", "10.0.0.1", port=53, protocol=Protocol.UDP)
    bench = served(dns)
    bench.apply({dns.key: None})
    assert not bench.contents.services
    assert not bench.present.service_uses


def test_a_draining_front_end_that_comes_back_is_a_front_end_again() -> None:
    bench = served(WEB)
    bench.apply({WEB.key: None})
    bench.apply({WEB.key: WEB})
    bench.check()
    assert not bench.present.draining


def test_an_address_that_is_front_end_and_backend_says_both() -> None:
    chained = front_end("10.96.0.9", "chained", "10.96.0.1")
    chained = replace(chained, backends=(Backend(WEB.key.address, 80),))
    bench = served(WEB, chained)
    both = raw_key(WEB.key.address, 80, Protocol.TCP)
    assert bench.contents.flags(both) == ServiceFlag.FRONT_END | ServiceFlag.DIRECT
    address = raw_key(WEB.key.address)
    assert bench.contents.flags(address) == ServiceFlag.SERVICE_ADDRESS | ServiceFlag.BACKEND_ADDRESS
    bench.apply({WEB.key: None})
    for step in plan_drained(bench.present, ()).steps:
        bench.run(step)
    assert bench.contents.flags(both) == ServiceFlag.DIRECT
    assert bench.contents.flags(address) == ServiceFlag.BACKEND_ADDRESS


def test_a_service_that_is_made_anew_under_another_name_takes_the_front_end_over() -> None:
    renamed = replace(WEB, service=OTHER.service)
    bench = served(WEB)
    bench.apply({WEB.key: renamed})
    bench.check()
    assert set(bench.present.service_ids) == {OTHER.service}


def test_service_ids_are_kept_over_a_restart_even_if_a_new_front_end_is_met_first() -> None:
    first = front_end("10.96.0.0", "web", "10.0.0.1", "10.0.0.2", "10.0.0.3")
    bench = served(WEB, OTHER)
    before = numbers(bench, WEB)
    bench.restart()
    wanted = {each.key: each for each in (first, WEB, OTHER)}
    bench.apply(difference(bench.present, wanted))
    bench.check()
    assert numbers(bench, WEB) == before


def test_after_a_restart_one_service_id_never_goes_to_two_services() -> None:
    twin = front_end("10.96.0.7", "web", "10.0.0.1", "10.0.0.2", "10.0.0.3")
    bench = served(WEB, twin)
    bench.restart()
    bench.apply({WEB.key: WEB, twin.key: replace(twin, service=OTHER.service)})
    bench.check()


def test_a_front_end_that_is_not_for_the_datapath_has_no_entry() -> None:
    bench = served(WEB)
    plan_ = plan(bench.present, {WEB.key: replace(WEB, verdict=Verdict.PASS, backends=())})
    assert plan_ == plan(bench.present, {WEB.key: None})


def test_a_change_costs_as_much_as_it_is_large() -> None:
    many = [front_end(f"10.96.{n // 250}.{n % 250}", f"s{n}", f"10.1.{n // 250}.{n % 250}") for n in range(1000)]
    bench = Bench(services=10_000, backends=2000)
    for step in plan(bench.present, {each.key: each for each in many}).steps:
        bench.run(step)
    changed = replace(many[500], backends=(Backend(parse_address("10.2.0.1"), 8080),))
    steps = writes(plan(bench.present, {changed.key: changed}).steps)
    assert len(steps) == 9  # backend, run; its two keys, front end; run and backend freed, their two keys gone
