"""Lays the bundle's directory out.

tcnat                   the launcher
lib/                    the loader, the C library and what else interpreter and modules are linked with
lib/python              the interpreter; it finds its modules by where it lies
lib/python3.11/         the modules, compiled, with tcnat's sources of C and bytecode
lib/main.pyc            what the launcher starts
licences/               those of all that is in it
"""

from __future__ import annotations

import os
import py_compile
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

from deploy.bundle.modules import REPOSITORY, Module
from tcnat import bytecode
from tcnat.layout import Family

INTERPRETER = Path(os.path.realpath(sys.executable))
LIBRARIES = Path("lib")
MODULES = LIBRARIES / f"python{sys.version_info.major}.{sys.version_info.minor}"
MAIN = "from tcnat.cli import main\nmain()\n"
_WITH_DOCUMENTATION = "tcnat/cli/"
"""The package whose docstrings are shown to people; all others are left out, which saves memory."""
_LINKED = re.compile(r"(?:=> )?(/\S+) \(0x")
_LICENCE = re.compile(r"(?i)(licen[cs]e|copying|notice)")
_LAUNCHER = Path(__file__).parent / "launcher.c"


def lay_out(directory: Path, modules: Sequence[Module]) -> None:
    """Make the bundle in a directory that is not there yet. Compiles the packet programs where no cache has them
    (TcnatError if that fails), and the launcher with gcc."""
    (directory / MODULES / "lib-dynload").mkdir(parents=True)
    machine_code = [_copy_stripped(INTERPRETER, directory / LIBRARIES / "python")]
    originals = [INTERPRETER]
    for module in modules:
        if module.is_extension:
            machine_code.append(_copy_stripped(module.path, directory / MODULES / module.place))
            originals.append(module.path)
        else:
            _compile(module.path, directory / MODULES / f"{module.place}.pyc", f"{module.place}.py")
    _add_data(directory / MODULES)
    libraries = sorted({each for original in originals for each in linked(original)})
    for library in libraries:
        _copy_stripped(library, directory / LIBRARIES / library.name)
    _build_launcher(directory, next(each.name for each in libraries if each.name.startswith("ld-")))
    _add_licences(directory / "licences", modules, [*originals, *libraries])


def linked(binary: Path) -> Iterator[Path]:
    """The libraries that a binary is linked with, through others too, and its loader (ldd(1))."""
    said = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True).stdout
    return (Path(match[1]) for match in _LINKED.finditer(said))


def _compile(source: Path, target: Path, name: str) -> None:
    """``name`` is the source's in tracebacks."""
    target.parent.mkdir(parents=True, exist_ok=True)
    py_compile.compile(
        str(source),
        cfile=str(target),
        dfile=name,
        doraise=True,
        optimize=0 if name.startswith(_WITH_DOCUMENTATION) else 2,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _copy_stripped(binary: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["strip", "--strip-unneeded", "-o", str(target), str(binary)], check=True)
    target.chmod(0o755)
    return target


def _add_data(modules: Path) -> None:
    """The packet programs, and the bytecode that was made of them; certificates, for API servers that need them."""
    shutil.copytree(REPOSITORY / "bpf", modules / "tcnat" / "_bpf")
    for family in Family:
        bytecode.write_entry(modules / "tcnat" / "_bytecode", bytecode.bytecode(family))
    import certifi  # noqa: PLC0415  (only its file is wanted)

    shutil.copy(certifi.where(), modules / "certifi" / "cacert.pem")


def _build_launcher(directory: Path, loader: str) -> None:
    main = directory / "main.py"
    main.write_text(MAIN)
    _compile(main, directory / LIBRARIES / "main.pyc", "main.py")
    main.unlink()
    words = ["gcc", "-std=gnu11", "-Os", "-Wall", "-Werror", "-static", "-s", f'-DLOADER="{loader}"']
    subprocess.run([*words, "-o", str(directory / "tcnat"), str(_LAUNCHER)], check=True)


def _add_licences(directory: Path, modules: Iterable[Module], files: Iterable[Path]) -> None:
    """tcnat's own, and those of the Debian packages and Python distributions that something was taken from."""
    directory.mkdir()
    distributions = metadata.packages_distributions()
    for name in {each for module in modules for each in distributions.get(module.name.partition(".")[0], ())}:
        for file in metadata.files(name) or ():
            if "dist-info" in str(file) and _LICENCE.match(file.name):
                shutil.copy(file.locate(), directory / f"{name}-{file.name}")
    shutil.copy(REPOSITORY / "LICENSE", directory / "tcnat")
    shutil.copy(REPOSITORY / "bpf" / "LICENSE-GPL-2.0", directory / "tcnat-packet-programs-GPL-2.0")
    for package in sorted({name for file in files if (name := _debian_package(file))}):
        shutil.copy(Path("/usr/share/doc", package, "copyright"), directory / package)


def _debian_package(file: Path) -> str | None:
    """The package that installed a file; None for what came otherwise."""
    for path in (file, file.resolve()):
        asked = subprocess.run(["dpkg-query", "-S", str(path)], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            return asked.stdout.partition(":")[0]
    return None
