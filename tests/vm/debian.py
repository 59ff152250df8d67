"""Debian's kernels, downloaded from the mirror that this machine's apt already uses, unpacked and never installed."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tcnat.errors import TcnatError

from .kernel import Kernel

META_PACKAGE = "linux-image-cloud-amd64"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True, slots=True)
class Release:
    """A Debian release, and the kernel series that it has."""

    name: str
    codename: str
    series: str


RELEASES = (Release("debian-11", "bullseye", "5.10"), Release("debian-12", "bookworm", "6.1"))


def fetch(release: Release, cache: Path) -> Kernel:
    """The release's cloud kernel, from ``cache`` or the mirror. Remove ``cache/<name>`` to get a newer one."""
    home = cache / release.name
    if not home.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _unpack(_download(release, Path(scratch)), Path(scratch) / "kernel")
            (Path(scratch) / "kernel").rename(home)
    (image,) = home.glob("boot/vmlinuz-*")
    return Kernel(release.name, image, home)


def sources_for(release: Release, targets: str, own_codename: str) -> list[str]:
    """apt source lines for ``release``, from this machine's own.

    ``targets`` is what ``apt-get indextargets`` prints in the format "URI suite component"; wherever a line names
    this machine's release, or its security archive, the wanted release takes its place.
    """
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    wanted = {own_codename: release.codename, f"{own_codename}-security": f"{release.codename}-security"}
    lines: dict[str, None] = {}
    for line in targets.splitlines():
        uri, suite, component = line.split()
        if suite in wanted and component == "main":
            lines[f"deb {signed}{uri} {wanted[suite]} main"] = None
    return list(lines)


def _download(release: Release, scratch: Path) -> Path:
    apt = _Apt(scratch)
    apt.write_sources(_own_sources(release))
    try:
        apt.run("apt-get", "update")
        package = _dependency(apt.run("apt-cache", "show", "--no-all-versions", META_PACKAGE))
        apt.run("apt-get", "download", package)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip().splitlines()
        raise TcnatError(
            f"cannot get the {release.series} kernel of {release.name} ({release.codename}) from this machine's "
            f"mirror: {said[-1] if said else error}"
        ) from None
    (archive,) = scratch.glob("linux-image-*.deb")
    return archive


def _own_sources(release: Release) -> list[str]:
    own = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    lines = sources_for(release, subprocess.run(command, capture_output=True, text=True, check=True).stdout, own)
    if not lines:
        raise TcnatError(
            f"apt on this machine has no source for Debian {own or '(unknown release)'}, so there is no mirror to take "
            f"the kernel of {release.name} from; run with KERNEL=path instead"
        )
    return lines


def _dependency(shown: str) -> str:
    """The kernel package that the meta package's record (``apt-cache show``) depends on."""
    found = re.search(r"^Depends:.*?\b(linux-image-\d[\w.+-]*)", shown, re.MULTILINE)
    if found is None:
        raise TcnatError(f"{META_PACKAGE} depends on no kernel package: {shown.strip()[:80]!r}")
    return found.group(1)


class _Apt:
    """apt with sources, lists and cache of its own below ``scratch``; the machine's stay as they are."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        for directory in ("lists/partial", "archives/partial"):
            (scratch / directory).mkdir(parents=True)

    def write_sources(self, lines: list[str]) -> None:
        (self._scratch / "sources.list").write_text("".join(line + "\n" for line in lines))

    def run(self, *command: str) -> str:
        options = {
            "Dir::Etc::sourcelist": self._scratch / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": self._scratch / "lists",
            "Dir::Cache": self._scratch,
            "Acquire::Languages": "none",
            "Acquire::Retries": 3,
            "APT::Update::Error-Mode": "any",
        }
        if os.geteuid() == 0:
            options["APT::Sandbox::User"] = "root"
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        done = subprocess.run(
            [command[0], *words, *command[1:]], cwd=self._scratch, capture_output=True, text=True, check=True
        )
        return done.stdout


def _unpack(archive: Path, home: Path) -> None:
    for tool in ("dpkg", "depmod"):
        if shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            raise TcnatError(f"{tool} is missing: install the package {'kmod' if tool == 'depmod' else tool}")
    subprocess.run(["dpkg", "-x", str(archive), str(home)], check=True)
    (release,) = (path.name for path in (home / "lib/modules").iterdir())
    subprocess.run(["depmod", "-b", str(home), release], check=True)
