"""Servers that others wrote, one instance on each backend, each of which answers with its host's role."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

from .commands import Program
from .site import Host, Site

WEB_PORT = 8080
"""Where nginx listens; Services have another port, so that the port is rewritten too."""
DNS_PORT = 5353
IPERF_PORT = 5201
NAME = "whoami.lab"
"""The name that each dnsmasq resolves to a TXT record with its host's role and to its host's addresses."""

_NGINX = """\
daemon off;
user root;
worker_processes 1;
pid {home}/pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log {access_log};
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen {port};
        listen [::]:{port};
        default_type text/plain;
        add_header Backend {role};
        location / {{ return 200 "{role}\\n"; }}
        location /files/ {{ root {directory}; }}
        location /slow/ {{ alias {directory}/files/; limit_rate 1m; }}
    }}
}}
"""


class Web:
    """nginx: ``/`` answers with the host's role, ``/files/NAME`` with that file of the lab's directory, ``/slow/NAME``
    with the same at 1 MB a second."""

    def __init__(self, lab: Site, host: Host, port: int = WEB_PORT, *, log: bool = True) -> None:
        """``log``: keep a line for each request, by which they can be counted."""
        self.home = lab.directory / f"nginx-{host.role}-{port}"
        self.home.mkdir()
        configuration = self.home / "nginx.conf"
        access_log = self.home / "access.log" if log else "off"
        configuration.write_text(
            _NGINX.format(home=self.home, port=port, role=host.role, directory=lab.directory, access_log=access_log)
        )
        self._lab, self._host, self._port = lab, host, port
        self.start()

    def start(self) -> None:
        """Start it, or start it again; it listens when this returns."""
        name = f"nginx-{self._host.role}-{self._port}.log"
        self._program = self._lab.start(self._host, "nginx", "-c", self.home / "nginx.conf", log=name)
        wait_for_listener(self._program, self._host, self._port, "tcp")

    def requests(self) -> int:
        """How many requests it has answered."""
        return (self.home / "access.log").read_bytes().count(b"\n")

    def end_when_done(self) -> None:
        """Take no more connections, and end when those that are open have ended."""
        self._program.send(signal.SIGQUIT)

    def end_within(self, seconds: float) -> None:
        """The same, but connections that are open after so many seconds are cut off; it has ended when this returns."""
        self.end_when_done()
        try:
            self._program.wait(seconds)
        except subprocess.TimeoutExpired:
            self._program.stop()


def start_dns(lab: Site, host: Host, port: int = DNS_PORT) -> Program:
    """dnsmasq, over UDP and TCP."""
    addresses = host.addresses
    program = lab.start(
        host,
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        "--pid-file=",
        f"--port={port}",
        f"--txt-record={NAME},{host.role}",
        f"--host-record={NAME},{addresses.v4},{addresses.v6}",
        log=f"dnsmasq-{host.role}-{port}.log",
    )
    wait_for_listener(program, host, port, "udp")
    return program


def start_iperf(lab: Site, host: Host, port: int = IPERF_PORT) -> Program:
    """iperf3, which serves one client at a time."""
    program = lab.start(host, "iperf3", "--server", "--port", str(port), log=f"iperf3-{host.role}-{port}.log")
    wait_for_listener(program, host, port, "tcp")
    return program


def start_socat(lab: Site, host: Host, listener: str, action: str, port: int) -> Program:
    """socat between a listener (``UDP6-LISTEN:…``) and an action (``EXEC:…``)."""
    program = lab.start(host, "socat", listener, action, log=f"socat-{host.role}-{port}.log")
    wait_for_listener(program, host, port, "udp" if listener.startswith("UDP") else "tcp")
    return program


def wait_for_listener(program: Program, host: Host, port: int, protocol: str) -> None:
    """Wait until some socket of the host's is bound to the port."""
    files = [f"/proc/thread-self/net/{protocol}{suffix}" for suffix in ("", "6")]
    state = "0A" if protocol == "tcp" else "07"
    line = re.compile(rf"^ *\d+: [0-9A-F]+:{port:04X} [0-9A-F]+:0000 {state} ", re.MULTILINE)

    def bound() -> bool:
        with host.entered():
            return any(line.search(Path(file).read_text()) for file in files)

    program.wait_for(bound, f"port {port}/{protocol} on {host.role}")
