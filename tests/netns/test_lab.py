"""The lab itself, without tcnat: what fails here is no fault of the datapath."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcnat.layout import Family
from tests.lab import Lab, stale
from tests.lab.capture import Capture, Tap
from tests.lab.clients import Tcp, Udp, path_mtu
from tests.lab.echo import Echo
from tests.lab.servers import DNS_PORT, NAME, WEB_PORT, Web, start_dns

PORT = 7007


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(backends=2, offloads=False) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def echo(lab: Lab) -> Iterator[Echo]:
    with Echo(lab.backends[0], "backend1", PORT) as made:
        yield made


def test_a_connection_to_a_backend_echoes(lab: Lab, family: Family) -> None:
    with Tcp(lab.client, lab.backends[0].addresses, family, PORT) as connection:
        assert connection.server == "backend1"
        assert connection.echo(b"\x5a" * 1_000_000) == b"\x5a" * 1_000_000


def test_a_datagram_to_a_backend_echoes(lab: Lab, family: Family) -> None:
    with Udp(lab.client, lab.backends[0].addresses, family, PORT) as flow:
        assert flow.ask(os.urandom(60_000)) == "backend1"


def test_the_server_saw_the_clients_own_address(lab: Lab, echo: Echo, family: Family) -> None:
    before = echo.seen[lab.client.addresses.of(family)]
    Tcp(lab.client, lab.backends[0].addresses, family, PORT).socket.close()
    assert echo.seen[lab.client.addresses.of(family)] == before + 1


def test_real_servers_answer_with_their_name(lab: Lab, family: Family) -> None:
    backend = lab.backends[1]
    if family is Family.IPV4:
        Web(lab, backend)
        start_dns(lab, backend)
    assert lab.client.run("curl", "-sS", backend.addresses.url(family, WEB_PORT)) == "backend2\n"
    server = f"@{backend.addresses.of(family)}"
    assert lab.client.run("dig", "+short", "-p", str(DNS_PORT), server, NAME, "TXT") == '"backend2"\n'


def test_nobody_has_a_services_address(lab: Lab, family: Family) -> None:
    address = "10.96.0.1" if family is Family.IPV4 else "fd96::1"
    with pytest.raises(OSError, match=r"unreachable|timed out"):
        Tcp(lab.client, type(lab.client.addresses)(address, address), family, PORT)


def test_captures_with_checksums_computed_are_good(lab: Lab, family: Family) -> None:
    with Capture(lab, lab.backends[0]) as capture:
        Tcp(lab.client, lab.backends[0].addresses, family, PORT).socket.close()
        with Udp(lab.client, lab.backends[0].addresses, family, PORT) as flow:
            flow.ask(b"x" * 5000)
    capture.assert_checksums_good()


def test_captures_with_a_checksum_left_to_the_device_are_not(family: Family) -> None:
    with Lab(backends=1) as lab, Echo(lab.backends[0], "backend1", PORT):
        with Capture(lab, lab.client) as capture:
            Tcp(lab.client, lab.backends[0].addresses, family, PORT).socket.close()
        with pytest.raises(AssertionError, match="bad checksums"):
            capture.assert_checksums_good()


def test_a_tap_sees_what_the_hosts_own_stack_sends_and_gets(lab: Lab, family: Family) -> None:
    if family is Family.IPV4:
        Tap(lab.client)
    with Capture(lab, lab.client, Tap.device) as capture:
        Tcp(lab.client, lab.backends[0].addresses, family, PORT).socket.close()
    capture.assert_checksums_good()
    opening = capture.fields(["tcp.flags.str"], "tcp.flags.syn == 1")
    assert len(opening) == 2


def test_a_narrow_link_tells_the_path_mtu(family: Family) -> None:
    with (
        Lab(backends=1, narrow=1300) as lab,
        Echo(lab.backends[0], "backend1", PORT),
        Tcp(lab.client, lab.backends[0].addresses, family, PORT) as connection,
    ):
        assert connection.echo(b"x" * 100_000) == b"x" * 100_000
        assert path_mtu(connection.socket) == 1300


def test_a_killed_lab_is_swept_away(tmp_path: Path) -> None:
    program = "import signal\nfrom tests.lab import Lab\nwith Lab() as lab: print(lab.name, flush=True), signal.pause()"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        name = maker.stdout.readline().strip()
        assert (stale.NAMESPACES / f"{name}-client").exists()
        assert not [path for path in stale.sweep() if name in path]
        maker.send_signal(signal.SIGKILL)
    assert [path for path in stale.sweep() if name in path]
    assert not (stale.NAMESPACES / f"{name}-client").exists()
    assert not (stale.DIRECTORIES / name).exists()
