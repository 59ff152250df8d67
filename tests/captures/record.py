"""Records real traffic of real programs on a client's device: ``make record [ARGS=NAME...]``, as root.

The client talks straight to the backend, without tcnat: what a client of a Service would have sent is derived from it
by ``make captures``, which has to be run afterwards.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tcnat.layout import Family
from tests.captures import services
from tests.lab.commands import CommandFailed
from tests.lab.lab import Lab
from tests.lab.servers import NAME, Web, start_dns, wait_for_listener

RECORDINGS = Path(__file__).parent / "recorded"
NARROW_MTU = 1300
LARGE_DATAGRAM = 20_000
UPLOAD = 12_000
FAMILIES = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}

Scenario = Callable[[Lab, Family], None]


def start_servers(lab: Lab) -> None:
    """Everything that the scenarios talk to, on the one backend."""
    backend = lab.backends[0]
    Web(lab, backend, services.HTTP.target)
    (lab.files / "page").write_text("".join(f"line {number} of a page\n" for number in range(900)))
    start_dns(lab, backend, services.DNS_UDP.target)
    start_tls(lab)
    for family in Family:
        for port, action in ((services.ECHO, "PIPE"), (services.LATE, "SYSTEM:sleep 0.3; echo late")):
            listener = f"UDP{family}-RECVFROM:{port.target},fork" + (",ipv6only=1" if family == 6 else "")
            program = lab.start(backend, "socat", "-b65536", listener, action, log=f"socat{family}-{port.target}.log")
            wait_for_listener(program, backend, port.target, "udp")


def start_tls(lab: Lab) -> None:
    """openssl s_server for each family, with a certificate of its own making."""
    backend, key, certificate = lab.backends[0], lab.directory / "key.pem", lab.directory / "certificate.pem"
    backend.run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
        "-subj", "/CN=tls.lab", "-keyout", key, "-out", certificate,
    )  # fmt: skip
    for address in ("0.0.0.0", "[::]"):
        program = lab.start(
            backend, "openssl", "s_server", "-accept", f"{address}:{services.TLS.target}", "-www",
            "-cert", certificate, "-key", key, log=f"s_server-{address}.log",
        )  # fmt: skip
        program.wait_for(lambda program=program: "ACCEPT" in program.output(), "s_server to listen")


def http(lab: Lab, family: Family) -> None:
    """Two requests on one connection, and one that is refused."""
    url = lab.backends[0].addresses.url(family, services.HTTP.target)
    lab.client.run("curl", "-s", url, f"{url}files/page", "-o", "/dev/null", "-o", "/dev/null")
    refused = lab.backends[0].addresses.url(family, services.REFUSED.target)
    lab.client.run("curl", "-s", refused, check=False)


def tls(lab: Lab, family: Family) -> None:
    """One request over TLS."""
    url = lab.backends[0].addresses.url(family, services.TLS.target)
    lab.client.run("curl", "-s", "-k", url.replace("http", "https"), "-o", "/dev/null")


def dns(lab: Lab, family: Family) -> None:
    """Questions over UDP and over TCP."""
    server = ["dig", f"@{lab.backends[0].addresses.of(family)}", "-p", str(services.DNS_UDP.target), "+tries=1"]
    for question in (["TXT"], ["A"], ["AAAA"], ["TXT", "+tcp"], ["A", "+bufsize=512"]):
        lab.client.run(*server, NAME, *question)


def large_udp(lab: Lab, family: Family) -> None:
    """A datagram in fragments, and the same as its answer."""
    data = "".join(f"{number:09d}\n" for number in range(LARGE_DATAGRAM // 10))
    answer = lab.client.run("socat", "-b65536", "-t1", "-", _udp(lab, family, services.ECHO), text=data)
    if answer != data:
        raise CommandFailed(f"{len(answer)} bytes came back")


def icmp_errors(lab: Lab, family: Family) -> None:
    """A port that is closed, a TTL that runs out, and an answer to a socket that is closed already."""
    lab.client.run("socat", "-t1", "-", _udp(lab, family, services.CLOSED), text="anybody there?\n", check=False)
    hops = "ip-ttl=1" if family is Family.IPV4 else "ipv6-unicast-hops=1"
    lab.client.run("socat", "-t1", "-", f"{_udp(lab, family, services.ECHO)},{hops}", text="too far\n", check=False)
    lab.client.run("socat", "-u", "-", _udp(lab, family, services.LATE), text="not waiting\n")
    time.sleep(0.6)


def path_mtu(lab: Lab, family: Family) -> None:
    """An upload whose segments are too long for a link on the way."""
    body = lab.files / "upload"
    body.write_text("0123456789abcdef" * (UPLOAD // 16))
    url = lab.backends[0].addresses.url(family, services.HTTP.target)
    lab.client.run("curl", "-s", "--data-binary", f"@{body}", url, "-o", "/dev/null")


def _udp(lab: Lab, family: Family, port: services.Port) -> str:
    address = lab.backends[0].addresses.of(family)
    return f"UDP{family}:{address if family is Family.IPV4 else f'[{address}]'}:{port.target}"


SCENARIOS: dict[str, tuple[Scenario, int | None, list[str]]] = {
    "http": (http, None, ["-i", "eth0"]),
    "tls": (tls, None, ["-i", "eth0"]),
    "dns": (dns, None, ["-i", "eth0"]),
    "dns-cooked": (dns, None, ["-i", "any", "-y", "LINUX_SLL"]),
    "dns-cooked2": (dns, None, ["-i", "any", "-y", "LINUX_SLL2"]),
    "large-udp": (large_udp, None, ["-i", "eth0"]),
    "icmp-errors": (icmp_errors, None, ["-i", "eth0"]),
    "path-mtu": (path_mtu, NARROW_MTU, ["-i", "eth0"]),
}
"""Name -> what happens, the MTU of the narrow link on the way if there is one, and what tcpdump listens to."""


def record(name: str, lab: Lab, family: Family, file: Path) -> None:
    """Record one scenario."""
    scenario, _, device = SCENARIOS[name]
    forget_paths(lab)
    options = ["-n", "-Z", "root", "--immediate-mode", "-U", "--time-stamp-precision=nano", "-w", str(file)]
    tcpdump = lab.start(lab.client, "tcpdump", *device, *options, log=f"{file.stem}.log")
    tcpdump.wait_for(lambda: "listening on" in tcpdump.output(), "tcpdump to listen")
    scenario(lab, family)
    time.sleep(0.3)
    tcpdump.stop(signal.SIGINT)


def forget_paths(lab: Lab) -> None:
    """Neighbours and path MTUs are learnt anew by each scenario."""
    for family in ("-4", "-6"):
        with suppress(CommandFailed):
            lab.client.run("ip", family, "route", "flush", "cache")
    lab.client.run("ip", "neigh", "flush", "dev", "eth0")


def main(names: list[str]) -> None:
    """Record the named scenarios, or all."""
    RECORDINGS.mkdir(exist_ok=True)
    wanted = [name for name in SCENARIOS if not names or name in names]
    for narrow in (None, NARROW_MTU):
        with Lab(backends=1, narrow=narrow, offloads=False) as lab:
            start_servers(lab)
            for name in wanted:
                if SCENARIOS[name][1] != narrow:
                    continue
                for suffix, family in FAMILIES.items():
                    record(name, lab, family, RECORDINGS / f"{name}-{suffix}.pcap")
                    print(f"recorded {name}-{suffix}")


if __name__ == "__main__":
    main(sys.argv[1:])
