"""Kubernetes 1.20.2 from Debian's source package: kube-apiserver and kube-proxy are built; kubectl and promtool are
taken from their packages without installing those. All is kept in ``~/.cache/tcnat/cluster``, for all checkouts.
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
COMPILED = ("kube-apiserver", "kube-proxy")
TAKEN = {"kubectl": "kubernetes-client", "promtool": "prometheus"}
"""Program -> the package that has it in /usr/bin."""
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
    def promtool(self) -> Path:
        """promtool."""
        return self.directory / "promtool"

    def missing(self) -> set[str]:
        """The programs that are not there."""
        return {name for name in (*COMPILED, *TAKEN) if not (self.directory / name).exists()}


def cached() -> Binaries:
    """Where the programs are, or will be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Binaries(cache / "tcnat" / "cluster" / f"kubernetes-{VERSION}")


def found() -> Binaries:
    """The programs. TcnatError where they have not been built."""
    binaries = cached()
    if binaries.missing():
        raise TcnatError(f"Kubernetes {VERSION} is not built yet: run make setup-cluster")
    return binaries


def build(tell: Tell) -> Binaries:
    """Build what is missing; a few minutes on two cores, and 2 GB of room meanwhile. TcnatError says what failed."""
    binaries = cached()
    home = binaries.directory
    home.parent.mkdir(parents=True, exist_ok=True)
    with _alone(home.parent / "lock", tell):
        missing = binaries.missing()
        if not missing:
            return binaries
        for tool in ("go", "apt-get", "dpkg", "tar"):
            if shutil.which(tool) is None:
                raise TcnatError(f"{tool} is missing: run make setup-cluster as root, or see scripts/packages.txt")
        with tempfile.TemporaryDirectory(dir=home.parent) as directory:
            scratch = Path(directory)
            made = scratch / "bin"
            made.mkdir()
            mirror = _Mirror(scratch / "apt", tell)
            if missing.intersection(COMPILED):
                _compile(_unpack(mirror.sources(), scratch / "go", tell), scratch, tell)
            for program in missing.intersection(TAKEN):
                shutil.copy2(mirror.unpacked(TAKEN[program]) / "usr/bin" / program, made)
            home.mkdir(exist_ok=True)
            for path in made.iterdir():
                path.rename(home / path.name)
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


class _Mirror:
    """What this machine's apt takes packages from, without installing any."""

    def __init__(self, scratch: Path, tell: Tell) -> None:
        scratch.mkdir()
        self._scratch = scratch
        self._tell = tell
        self._own = apt.own_codename()
        suites = {suite: suite for suite in (self._own, f"{self._own}-security")}
        targets = apt.own_targets()
        sources = [line for kind in ("deb", "deb-src") for line in apt.source_lines(targets, suites, kind)]
        if not sources:
            raise TcnatError(f"apt on this machine has no source for Debian {self._own or '(unknown release)'}")
        self._apt = apt.Apt(scratch, sources)
        self._run("update")

    def sources(self) -> Path:
        """The archive of Kubernetes' sources."""
        self._tell("getting the sources")
        self._run("source", "--download-only", "kubernetes")
        (archive,) = self._scratch.glob("kubernetes_*.orig.tar.*")
        if VERSION not in archive.name:
            raise TcnatError(f"Debian {self._own} has another Kubernetes than {VERSION}: {archive.name}")
        return archive

    def unpacked(self, package: str) -> Path:
        """A directory with what a binary package would install."""
        self._tell(f"getting the package {package}")
        self._run("download", package)
        (archive,) = self._scratch.glob(f"{package}_*.deb")
        home = self._scratch / package
        subprocess.run(["dpkg", "-x", str(archive), str(home)], check=True)
        return home

    def _run(self, *words: str) -> None:
        try:
            self._apt.run("apt-get", *words)
        except subprocess.CalledProcessError as error:
            what = f"apt-get {' '.join(words)}"
            raise TcnatError(f"{what} failed with this machine's mirror: {apt.reason(error)}") from None


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


def _compile(tree: Path, scratch: Path, tell: Tell) -> None:
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
    for name in COMPILED:
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
