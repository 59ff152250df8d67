"""Debian's kernels, downloaded from the mirror that this machine's apt already uses, unpacked and never installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tcnat.errors import TcnatError
from tests import apt

from .kernel import Kernel

META_PACKAGE = "linux-image-cloud-amd64"


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
    """apt source lines for ``release``, from this machine's own ``targets`` (see :mod:`tests.apt`): wherever one names
    this machine's release, or its security archive, the wanted release takes its place."""
    wanted = {own_codename: release.codename, f"{own_codename}-security": f"{release.codename}-security"}
    return apt.source_lines(targets, wanted)


def _download(release: Release, scratch: Path) -> Path:
    mirror = apt.Apt(scratch, _own_sources(release))
    try:
        mirror.run("apt-get", "update")
        package = _dependency(mirror.run("apt-cache", "show", "--no-all-versions", META_PACKAGE))
        mirror.run("apt-get", "download", package)
    except subprocess.CalledProcessError as error:
        raise TcnatError(
            f"cannot get the {release.series} kernel of {release.name} ({release.codename}) from this machine's "
            f"mirror: {apt.reason(error)}"
        ) from None
    (archive,) = scratch.glob("linux-image-*.deb")
    return archive


def _own_sources(release: Release) -> list[str]:
    own = apt.own_codename()
    lines = sources_for(release, apt.own_targets(), own)
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


def _unpack(archive: Path, home: Path) -> None:
    for tool in ("dpkg", "depmod"):
        if shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            raise TcnatError(f"{tool} is missing: install the package {'kmod' if tool == 'depmod' else tool}")
    subprocess.run(["dpkg", "-x", str(archive), str(home)], check=True)
    (release,) = (path.name for path in (home / "lib/modules").iterdir())
    subprocess.run(["depmod", "-b", str(home), release], check=True)
