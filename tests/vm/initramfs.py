"""The guest's first file system: busybox, the modules that reach the root, and ``guest/init``."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tcnat.errors import TcnatError

from .kernel import Kernel, boot_modules

INIT = Path(__file__).parent / "guest" / "init"


def build(archive: Path, kernel: Kernel, variables: Mapping[str, str]) -> None:
    """Write an uncompressed cpio archive to ``archive``; ``variables`` are what ``init`` reads as shell variables."""
    tree = archive.with_suffix(".d")
    for directory in ("bin", "dev", "proc", "sys", "modules", "host", "root"):
        (tree / directory).mkdir(parents=True)
    shutil.copy(_busybox(), tree / "bin/busybox")
    shutil.copy(INIT, tree / "init")
    (tree / "init").chmod(0o755)
    for number, module in enumerate(boot_modules(kernel)):
        shutil.copy(module, tree / "modules" / f"{number:02}-{module.name}")
    (tree / "variables").write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()))
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    with archive.open("wb") as out:
        subprocess.run(
            [tree / "bin/busybox", "cpio", "-o", "-H", "newc"],
            cwd=tree,
            input=os.fsencode("\n".join(names) + "\n"),
            stdout=out,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    shutil.rmtree(tree)


def _busybox() -> Path:
    found = shutil.which("busybox")
    if found is None or b"/ld-linux" in Path(found).read_bytes()[:4096]:
        raise TcnatError("a statically linked busybox is missing: install the package busybox-static")
    return Path(found)
