"""A real API server with its etcd, on a host of a lab."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.lab.addresses import SERVICE_NETWORK
from tests.lab.commands import PATIENCE, Program, run
from tests.lab.site import Host, Site

from .binaries import Binaries

PORT = 6443
ADMIN = "admin-token"
ETCD = "http://127.0.0.1:2379"
GATES = "IPv6DualStack=true,EndpointSliceTerminatingCondition=true,EndpointSliceNodeName=true"
"""What 1.20 knows of today's API only when it is asked to."""
START_SECONDS = 120
ASKED_EVERY = 0.2 * PATIENCE
"""Seconds between questions whether it is ready: each is a kubectl, which takes an emulated machine seconds of CPU."""
STOP_SECONDS = 30


class ApiServer:
    """``kube-apiserver`` and ``etcd`` on ``host``, ready when the constructor returns; they end with the lab.

    Everybody who has the address may read and write with :data:`ADMIN` as token; others go by RBAC.
    """

    def __init__(
        self, lab: Site, host: Host, binaries: Binaries, services: str = f"{SERVICE_NETWORK.v4},{SERVICE_NETWORK.v6}"
    ) -> None:
        """``services``: the networks of the ClusterIPs."""
        self.host = host
        self.url = f"https://{host.addresses.v4}:{PORT}"
        self.home = lab.directory / "apiserver"
        self.home.mkdir()
        self._lab = lab
        self._binaries = binaries
        self._services = services
        self._starts = 0
        (self.home / "tokens.csv").write_text(f'{ADMIN},admin,admin,"system:masters"\n')
        self._key = self.home / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", self._key, "2048"], check=True, capture_output=True)
        self._etcd = self._start_etcd()
        self._server = self._start_server()
        self.certificate = self.home / "certificates/apiserver.crt"
        self.kubeconfig = self.write_kubeconfig("admin", ADMIN)
        self._wait()

    def _start_etcd(self) -> Program:
        return self._lab.start(
            self.host,
            "etcd",
            f"--data-dir={self.home / 'etcd'}",
            f"--listen-client-urls={ETCD}",
            f"--advertise-client-urls={ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--log-level=error",
            "--quota-backend-bytes=4294967296",
            log="etcd.log",
        )

    def _start_server(self) -> Program:
        self._starts += 1
        return self._lab.start(
            self.host,
            self._binaries.apiserver,
            f"--etcd-servers={ETCD}",
            f"--advertise-address={self.host.addresses.v4}",
            f"--secure-port={PORT}",
            f"--cert-dir={self.home / 'certificates'}",
            f"--service-cluster-ip-range={self._services}",
            f"--token-auth-file={self.home / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            f"--service-account-key-file={self._key}",
            f"--service-account-signing-key-file={self._key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--disable-admission-plugins=ServiceAccount",
            f"--feature-gates={GATES}",
            "--endpoint-reconciler-type=none",
            log=f"apiserver-{self._starts}.log",
        )

    def _wait(self) -> None:
        self._server.wait_for(self._is_ready, "the API server to be ready", START_SECONDS, ASKED_EVERY)

    def _is_ready(self) -> bool:
        if not self.certificate.exists():
            return False
        said = self.host.run(*self._kubectl, "get", "--raw", "/readyz", "--request-timeout=2s", check=False)
        return said.strip() == "ok"

    @property
    def _kubectl(self) -> list[str | Path]:
        return [self._binaries.kubectl, "--kubeconfig", self.kubeconfig, f"--cache-dir={self.home / 'kubectl'}"]

    def kubectl(self, *words: str | Path, text: str | None = None) -> str:
        """Run kubectl as the cluster's administrator; what it printed. CommandFailed. ``text`` is its input."""
        return self.host.run(*self._kubectl, *words, text=text)

    def apply(self, *objects: dict[str, Any]) -> None:
        """``kubectl apply``; fields that this server does not know are dropped by it."""
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("apply", "--validate=false", "-f", "-", text=json.dumps(listed))

    def write_kubeconfig(self, name: str, token: str) -> Path:
        """A kubeconfig for somebody with that token."""
        cluster = {"server": self.url, "certificate-authority": str(self.certificate)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
        }
        path = self.home / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    def account_token(self, namespace: str, name: str) -> str:
        """A token for a ServiceAccount, as a pod of it has one."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
        answer = json.loads(self.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(request)))
        return str(answer["status"]["token"])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the API server; etcd keeps what it has."""
        self._server.stop(number, STOP_SECONDS)

    def start(self) -> None:
        """Start it again; it is ready when this returns."""
        self._server = self._start_server()
        self._wait()

    def compact(self) -> None:
        """Have etcd forget all that was before now."""
        words = ["etcdctl", f"--endpoints={ETCD}"]
        status = json.loads(run(self.host.command([*words, "endpoint", "status", "--write-out=json"])))
        run(self.host.command([*words, "compact", str(status[0]["Status"]["header"]["revision"])]))
