"""What the guest of the benchmark leaves on its console, without a guest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.goals import VM_MARKS
from bench.loads.http import HTTP_SHORT_FEW
from bench.peers.kubeproxy import IPVS, set_of_addresses
from bench.peers.services import PORTS, made_up, real
from bench.results import Results
from bench.series import Series
from bench.vm.guest import PEERS, line, lines
from bench.vm.host import PREFIX, VmPlan, told
from tcnat.errors import TcnatError

RATE = HTTP_SHORT_FEW.measures[0].key


def results(services: int) -> Results:
    series = [Series(RATE, peer, services, (100.0 + services, 101.5), (0.01, 0.011)) for peer in PEERS]
    return Results(measures=list(HTTP_SHORT_FEW.measures), series=series)


def test_a_line_of_the_console_holds_all_results() -> None:
    few, many = results(10), results(5000)
    console = f"[    0.1] kernel\r\n\r\n==> a command\n{line(few)}\r\nnoise results of the guest: x\n{line(many)}\n"
    assert list(lines(console)) == [few, many]


def test_results_come_home_under_names_of_their_own(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    console.write_text(f"{line(results(10))}\n{line(results(5000))}\n")
    found = told(console, "6.1.0-9")
    assert {each.measure for each in found.series} == {PREFIX + RATE}
    assert {(each.peer, each.services) for each in found.series} == {(peer, n) for peer in PEERS for n in (10, 5000)}
    assert {each.key for each in found.measures} >= {each.measure for each in found.series}
    assert all("6.1.0-9" in each.title for each in found.measures)
    assert found.machine == {"kernel of the virtual machine": "6.1.0-9"}


def test_a_guest_that_measured_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "console.log").write_text("panic\n")
    with pytest.raises(TcnatError, match=r"console\.log"):
        told(tmp_path / "console.log", "6.1.0-9")


def test_the_marks_are_for_what_is_measured() -> None:
    assert {(mark.measure, mark.against) for mark in VM_MARKS} == {(PREFIX + RATE, IPVS)}
    assert {mark.services for mark in VM_MARKS} == set(VmPlan().services)


def test_the_guests_part_refuses_to_run_outside_a_guest() -> None:
    words = [sys.executable, "-m", "bench.vm.guest"]
    words += ["--services=10", "--rounds=1", "--seconds=1", "--patience=1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nothing done" in done.stderr


def test_the_set_of_addresses_is_as_kube_proxy_makes_it() -> None:
    made = list(set_of_addresses([real(2, ["10.0.0.2"], "10.0.0.2"), made_up(10)]))
    assert made[0] == "create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536\n"
    assert made[-1] == f"add KUBE-CLUSTER-IP {made_up(10).address},tcp:80\n"
    assert len(set(made)) == 1 + len(PORTS) + 1
