"""A real kube-proxy on a host of a lab."""

from __future__ import annotations

import http.client
import re
from pathlib import Path

from tests.lab.commands import Program
from tests.lab.lab import Host, Lab

from .apiserver import ApiServer
from .binaries import Binaries

GATES = "IPv6DualStack=true"
HEALTH_PORT, METRICS_PORT = 10256, 10249
NODE = "kube-proxy"
"""The node's name; it waits for a Node object of that name before it does anything."""
_QUEUED = re.compile(r"^kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds (\S+)$", re.MULTILINE)
_SYNCED = re.compile(r"^kubeproxy_sync_proxy_rules_last_timestamp_seconds (\S+)$", re.MULTILINE)


class KubeProxy:
    """kube-proxy in iptables mode; in step with what the API server had when the constructor returns."""

    def __init__(
        self, lab: Lab, host: Host, server: ApiServer, binaries: Binaries, min_sync_period: str = "0s", wait: float = 60
    ) -> None:
        self.host = host
        kubeconfig: Path = server.kubeconfig
        self.program: Program = lab.start(
            host,
            binaries.proxy,
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={NODE}",
            "--proxy-mode=iptables",
            f"--feature-gates={GATES}",
            f"--iptables-min-sync-period={min_sync_period}",
            "--conntrack-max-per-core=0",
            "--conntrack-min=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
            log="kube-proxy.log",
        )
        self.program.wait_for(self.synced, "kube-proxy's first sync", timeout=wait)

    def synced(self) -> bool:
        """Whether it has written its rules since it last was told of a change."""
        try:
            said = self.ask(METRICS_PORT, "/metrics")
        except OSError:
            return False
        queued, synced = _QUEUED.search(said), _SYNCED.search(said)
        return bool(queued and synced and float(synced[1]) > 0 and float(synced[1]) >= float(queued[1]))

    def ask(self, port: int, path: str) -> str:
        """The body of what one of its HTTP servers answers. OSError when nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with self.host.entered():
            connection.connect()
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()
