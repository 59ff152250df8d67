"""``python -m tests.cluster``: build the Kubernetes that the tests here and the measurements need; quick when it is
there."""

from __future__ import annotations

import sys
import time

import click

from tcnat.errors import TcnatError

from . import binaries


def main() -> None:
    """Build, with a line on stderr for each part of it."""
    began = time.monotonic()

    def tell(what: str) -> None:
        click.echo(f"Kubernetes {binaries.VERSION}, {time.monotonic() - began:4.0f} s: {what} …", err=True)

    try:
        built = binaries.build(tell)
    except TcnatError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    if time.monotonic() - began > 1:
        tell(f"done, in {built.directory}")


if __name__ == "__main__":
    main()
