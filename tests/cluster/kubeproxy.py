"""A real kube-proxy on a host of a lab."""

from __future__ import annotations

import http.client
import os
import re
from pathlib import Path

from tests.lab.commands import Program
from tests.lab.site import Host, Site

from .apiserver import ApiServer
from .binaries import Binaries

HEALTH_PORT, METRICS_PORT = 10256, 10249
NODE = "kube-proxy"
"""The node's name; it waits for a Node object of that name before it does anything."""
_METRICS = {
    name: re.compile(rf"^kubeproxy_sync_proxy_rules_{metric} (\S+)$", re.MULTILINE)
    for name, metric in (("queued", "last_queued_timestamp_seconds"), ("last", "last_timestamp_seconds"))
}


class KubeProxy:
    """kube-proxy; in step with what the API server had when the constructor returns."""

    def __init__(
        self,
        lab: Site,
        host: Host,
        server: ApiServer,
        binaries: Binaries,
        *,
        dual_stack: bool = True,
        legacy: bool = False,
        mode: str = "iptables",
        min_sync_period: str = "0s",
        sync_period: str = "30s",
        threads: int | None = None,
        log: str = "kube-proxy.log",
        wait: float | None = 60,
    ) -> None:
        """``mode``: iptables or ipvs. ``wait``: seconds that the first sync may take; None: it is not waited for. With
        ``dual_stack`` each family syncs for itself, so that :meth:`synced` may mean only one of them. ``legacy``: by
        iptables' older way into the kernel, which takes many rules far sooner."""
        self.host = host
        kubeconfig: Path = server.kubeconfig
        self.program: Program = lab.start(
            host,
            *([] if threads is None else ["env", f"GOMAXPROCS={threads}"]),
            *_on_path(lab.directory / "legacy" if legacy else None),
            binaries.proxy,
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={NODE}",
            f"--proxy-mode={mode}",
            f"--feature-gates=IPv6DualStack={str(dual_stack).lower()}",
            f"--iptables-min-sync-period={min_sync_period}",
            f"--ipvs-min-sync-period={min_sync_period}",
            f"--iptables-sync-period={sync_period}",
            f"--ipvs-sync-period={sync_period}",
            "--conntrack-max-per-core=0",
            "--conntrack-min=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
            log=log,
        )
        if wait is not None:
            self.program.wait_for(self.synced, "kube-proxy's first sync", timeout=wait)

    def last_sync(self) -> float:
        """When it last wrote all its rules, in seconds since the epoch; 0: never, or it does not say."""
        found = self._metrics()
        return found["last"]

    def synced(self) -> bool:
        """Whether it has ended a sync since it was last told of a change; what came during that sync may be left to the
        next."""
        found = self._metrics()
        return 0 < found["last"] >= found["queued"]

    def _metrics(self) -> dict[str, float]:
        """When it was last told of a change (``queued``), and when it last ended a sync (``last``)."""
        try:
            said = self.ask(METRICS_PORT, "/metrics")
        except OSError:
            said = ""
        matches = {name: pattern.search(said) for name, pattern in _METRICS.items()}
        return {name: float(match[1]) if match else 0.0 for name, match in matches.items()}

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


def _on_path(directory: Path | None) -> list[str]:
    """The words that run a program with the legacy iptables, made to be found first in that directory; None: as the
    machine has it."""
    if directory is None:
        return []
    if not directory.exists():
        directory.mkdir()
        for family in ("iptables", "ip6tables"):
            for purpose in ("", "-save", "-restore"):
                (directory / f"{family}{purpose}").symlink_to("/usr/sbin/xtables-legacy-multi")
    return ["env", f"PATH={directory}:{os.environ['PATH']}"]
