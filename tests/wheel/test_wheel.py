"""``make wheel``: an agent of the installed wheel serves with the bytecode that came in it."""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcnat import bytecode
from tcnat.layout import Family
from tests.lab import Lab
from tests.lab.commands import CommandFailed, run
from tests.lab.stage import Stage, stage
from tests.lab.versions import REPOSITORY, Installed

pytestmark = [pytest.mark.root, pytest.mark.slow]

SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "tcnat", "bpf")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the checkout, with nothing fetched."""
    tree = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    for family in Family:
        bytecode.write_entry(tree / "build" / "bytecode", bytecode.bytecode(family))
    words = ["pip", "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", tree / "made"]
    run([sys.executable, "-m", *words, tree], timeout=300)
    (made,) = (tree / "made").iterdir()
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment's, which sees the wheel and, of the tests' own environment, what tcnat depends on."""
    environment = tmp_path_factory.mktemp("venv")
    run(["/usr/bin/python3", "-m", "venv", "--without-pip", environment], timeout=120)
    python = environment / "bin" / "python"
    run([sys.executable, "-m", "pip", f"--python={python}", "install", "-q", "--no-index", "--no-deps", wheel])
    (packages,) = environment.glob("lib/python*/site-packages")
    (ours,) = {Path(entry) for entry in sys.path if entry.startswith(sys.prefix) and entry.endswith("site-packages")}
    (packages / "dependencies.pth").write_text(f"{ours}\n")
    return python


@pytest.fixture(scope="module")
def scene(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    cache = tmp_path_factory.mktemp("cache")
    words = ("env", "--chdir=/", f"TCNAT_CACHE={cache}", str(python.with_name("tcnat")))
    with Lab(backends=2) as lab, stage(lab, version=Installed(words)) as made:
        yield made
        assert list(cache.iterdir()) == [], "it compiled"


def test_it_holds_the_sources_and_bytecode_of_them(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for source in (path for path in (REPOSITORY / "bpf").rglob("*") if path.is_file()):
        assert f"tcnat/_bpf/{source.relative_to(REPOSITORY / 'bpf')}" in names
    for family in Family:
        assert any(name.startswith(f"tcnat/_bytecode/ipv{int(family)}-") for name in names)


def test_neither_the_checkout_nor_bcc_is_there(python: Path) -> None:
    where = run([python, "-I", "-c", "import tcnat; print(tcnat.__file__)"]).strip()
    assert Path(where).is_relative_to(python.parent.parent)
    with pytest.raises(CommandFailed, match="No module named 'bcc'"):
        run([python, "-I", "-c", "import bcc"])


@pytest.mark.parametrize("family", list(Family), ids=lambda family: f"IPv{family}")
def test_an_agent_of_the_installed_wheel_serves(scene: Stage, family: Family) -> None:
    service = scene.service()
    with scene.tcp(service, family) as connection:
        assert connection.server in scene.echoes
        assert connection.echo(b"x" * 50_000) == b"x" * 50_000
    with scene.udp(service, family) as socket:
        assert socket.ask(b"question") in scene.echoes


def test_without_bytecode_and_bcc_it_says_what_to_do(python: Path, scene: Stage, tmp_path: Path) -> None:
    """As after `pip install` of a checkout that compiled nothing."""
    elsewhere = tmp_path / "installed"
    (package,) = python.parent.parent.glob("lib/python*/site-packages/tcnat")
    shutil.copytree(package, elsewhere / "tcnat", ignore=shutil.ignore_patterns("_bytecode", "__pycache__"))
    words = ["env", "--chdir=/", f"TCNAT_CACHE={tmp_path}", f"PYTHONPATH={elsewhere}", python, "-m", "tcnat", "agent"]
    options = ["--objects", scene.lab.files, "--network-device", "eth0", "--pin-path", f"{scene.lab.pins}-other"]
    with pytest.raises(
        CommandFailed, match=r"no bytecode for IPv4 in .*, and no bcc to compile it: install python3-bpfcc"
    ):
        scene.lab.router.run(*words, *options, "--healthz-bind-address=", "--metrics-bind-address=")
