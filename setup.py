"""Puts the sources of the packet programs into a built package, and bytecode of them if ``make wheel`` compiled any.

All else that there is to say of the package stands in pyproject.toml.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
BYTECODE = HERE / "build" / "bytecode"


class WithPrograms(build_py):
    """The package with what :mod:`tcnat.bytecode` looks for in it; a checkout has the sources beside the package."""

    def run(self) -> None:
        super().run()
        if getattr(self, "editable_mode", False):
            return
        package = Path(self.build_lib, "tcnat")
        for source, target in ((HERE / "bpf", package / "_bpf"), (BYTECODE, package / "_bytecode")):
            shutil.rmtree(target, ignore_errors=True)
            if source.is_dir():
                shutil.copytree(source, target)


setup(cmdclass={"build_py": WithPrograms})
