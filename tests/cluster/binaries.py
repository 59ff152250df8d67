"""Kubernetes 1.20.2 from Debian's source package: kube-apiserver and kube-proxy are built, kubectl is taken from its
package without installing it. All of it is kept in a cache, ``~/.cache/tcnat/cluster``, for all checkouts.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tcnat.errors import TcnatError
from tests import apt

VERSION = "1.20.2"
REFLECT2 = Path("/usr/share/gocode/src/github.com/modern-go/reflect2")
"""Debian's; the one that Kubernetes 1.20 brings along crashes where it is built with Go 1.18 or later."""
OPENAPI = "pkg/generated/openapi"
_MARK = "+k8s:openapi-gen=true"
_VERSION_PACKAGE = "k8s.io/kubernetes/vendor/k8s.io/component-base/version"
Tell = Callable[[str], None]
"""Takes a line on what is being done now."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where the programs are."""

    directory: Path

    @property
    def apiserver(self) -> Path:
        """kube-apiserver."""
        return self.directory / "kube-apiserver"

    @property
    def proxy(self) -> Path:
        """kube-proxy."""
        return self.directory / "kube-proxy"

    @property
    def kubectl(self) -> Path:
        """kubectl."""
        return self.directory / "kubectl"

    @property
    def complete(self) -> bool:
        """Whether all of them are there."""
        return all(path.exists() for path in (self.apiserver, self.proxy, self.kubectl))


def cached() -> Binaries:
    """Where the programs are, or will be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Binaries(cache / "tcnat" / "cluster" / f"kubernetes-{VERSION}")


def found() -> Binaries:
    """The programs. TcnatError where they have not been built."""
    binaries = cached()
    if not binaries.complete:
        raise TcnatError(f"Kubernetes {VERSION} is not built yet: run make setup-cluster")
    return binaries


def build(tell: Tell) -> Binaries:
    """Build what is missing; a few minutes on two cores, and 2 GB of room meanwhile. TcnatError says what failed."""
    binaries = cached()
    home = binaries.directory
    home.parent.mkdir(parents=True, exist_ok=True)
    with _alone(home.parent / "lock", tell):
        if binaries.complete:
            return binaries
        for tool in ("go", "apt-get", "dpkg", "tar"):
            if shutil.which(tool) is None:
                raise TcnatError(f"{tool} is missing: run make setup-cluster as root, or see scripts/packages.txt")
        with tempfile.TemporaryDirectory(dir=home.parent) as directory:
            scratch = Path(directory)
            archive, client = _download(scratch / "apt", tell)
            tree = _unpack(archive, scratch / "go", tell)
            _build(tree, scratch, tell)
            subprocess.run(["dpkg", "-x", str(client), str(scratch / "client")], check=True)
            shutil.copy2(scratch / "client/usr/bin/kubectl", scratch / "bin/kubectl")
            shutil.rmtree(home, ignore_errors=True)
            (scratch / "bin").rename(home)
    return binaries


@contextmanager
def _alone(path: Path, tell: Tell) -> Iterator[None]:
    """One build at a time."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another process is building; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(scratch: Path, tell: Tell) -> tuple[Path, Path]:
    """The source archive, and the package that has kubectl."""
    tell("getting the sources")
    scratch.mkdir()
    own, targets = apt.own_codename(), apt.own_targets()
    suites = {suite: suite for suite in (own, f"{own}-security")}
    sources = [line for kind in ("deb", "deb-src") for line in apt.source_lines(targets, suites, kind)]
    if not sources:
        raise TcnatError(f"apt on this machine has no source for Debian {own or '(unknown release)'}: no Kubernetes")
    mirror = apt.Apt(scratch, sources)
    try:
        mirror.run("apt-get", "update")
        mirror.run("apt-get", "source", "--download-only", "kubernetes")
        mirror.run("apt-get", "download", "kubernetes-client")
    except subprocess.CalledProcessError as error:
        raise TcnatError(f"cannot get Kubernetes from this machine's mirror: {apt.reason(error)}") from None
    (archive,) = scratch.glob("kubernetes_*.orig.tar.*")
    (client,) = scratch.glob("kubernetes-client_*.deb")
    for path in (archive, client):
        if VERSION not in path.name:
            raise TcnatError(f"Debian {own} has another Kubernetes than {VERSION}: {path.name}")
    return archive, client


def _unpack(archive: Path, gopath: Path, tell: Tell) -> Path:
    """The source tree where Go looks for it, with Debian's reflect2."""
    tell("unpacking the sources")
    tree = gopath / "src/k8s.io/kubernetes"
    tree.mkdir(parents=True)
    subprocess.run(["tar", "xf", str(archive), "-C", str(tree), "--strip-components=1"], check=True)
    if not REFLECT2.is_dir():
        raise TcnatError(f"{REFLECT2} is missing: install golang-github-modern-go-reflect2-dev")
    bundled = tree / "vendor/github.com/modern-go/reflect2"
    shutil.rmtree(bundled)
    shutil.copytree(REFLECT2, bundled)
    return tree


def _build(tree: Path, scratch: Path, tell: Tell) -> None:
    """Put kube-apiserver and kube-proxy into ``scratch/bin``."""
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
        "GOFLAGS": "",
        "GOPATH": str(scratch / "go"),
        "GOCACHE": str(scratch / "cache"),
    }

    def run(*words: str) -> None:
        done = subprocess.run(words, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TcnatError(f"building Kubernetes: {words[0]} failed: {' '.join(done.stderr.split())[-400:]}")

    tell("generating the API's description")
    generator = scratch / "openapi-gen"
    run("go", "build", "-o", str(generator), "./vendor/k8s.io/kube-openapi/cmd/openapi-gen")
    options = ("-O", "zz_generated.openapi", "-h", os.devnull, "-r", os.devnull)
    run(str(generator), *options, "-p", f"k8s.io/kubernetes/{OPENAPI}", "-i", ",".join(_described(tree)))
    major, minor, _ = VERSION.split(".")
    versions = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    flags = " ".join(["-s -w", *(f"-X {_VERSION_PACKAGE}.{name}={value}" for name, value in versions.items())])
    (scratch / "bin").mkdir()
    for name in ("kube-apiserver", "kube-proxy"):
        tell(f"compiling {name}")
        run("go", "build", "-o", str(scratch / "bin" / name), "-ldflags", flags, f"./cmd/{name}")


def _described(tree: Path) -> list[str]:
    """The import paths of the packages whose types the API's description holds."""
    paths = set()
    for top, prefix in (("pkg", "k8s.io/kubernetes/"), ("staging/src/k8s.io", "k8s.io/kubernetes/vendor/")):
        for file in (tree / top).rglob("*.go"):
            if re.search(rf"^// *{re.escape(_MARK)}$", file.read_text(errors="replace"), re.MULTILINE):
                where = file.parent.relative_to(tree)
                paths.add(prefix + str(where).removeprefix("staging/src/"))
    return sorted(paths)
