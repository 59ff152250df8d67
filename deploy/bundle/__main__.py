"""``python -m deploy.bundle``: builds the bundle and packs it."""

from __future__ import annotations

import platform
import shutil
import tarfile
from pathlib import Path

import click

from deploy.bundle.modules import needed
from deploy.bundle.tree import lay_out
from tcnat import __version__

BUILD = Path("build/bundle")
NAME = f"tcnat-{__version__}-{platform.machine()}"


@click.command()
@click.option("--directory", type=click.Path(path_type=Path), default=BUILD, show_default=True, help="Where to build.")
def main(directory: Path) -> None:
    """Build the bundle as a directory, and packed beside it."""
    bundle = directory / NAME
    shutil.rmtree(bundle, ignore_errors=True)
    lay_out(bundle, needed())
    packed = pack(bundle)
    click.echo(f"{bundle}: {_size(bundle)}; run {bundle}/tcnat")
    click.echo(f"{packed}: {packed.stat().st_size / 1e6:.1f} MB")


def pack(bundle: Path) -> Path:
    """The directory as a .tar.xz beside it, without owners and times: the same content gives the same file."""
    packed = bundle.with_name(f"{bundle.name}.tar.xz")
    with tarfile.open(packed, "w:xz", preset=9) as archive:
        archive.add(bundle, bundle.name, filter=_plain)
    return packed


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    return member


def _size(directory: Path) -> str:
    total = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    return f"{total / 1e6:.1f} MB"


if __name__ == "__main__":
    main()
