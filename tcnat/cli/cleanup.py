"""``tcnat cleanup``: :mod:`tcnat.cleanup` from the command line."""

from __future__ import annotations

from pathlib import Path

import click

from tcnat.loader import DEFAULT_PINS


@click.command("cleanup")
@click.option(
    "--pin-path",
    type=click.Path(path_type=Path),
    default=DEFAULT_PINS,
    show_default=True,
    help="Where the datapath is pinned.",
)
@click.option("--force", is_flag=True, help="Also while an agent runs.")
def command(pin_path: Path, force: bool) -> None:
    """Remove every filter, pin and run-time file of tcnat's, and nothing else.

    Filters are taken off all devices of this network namespace; those of others stay. Says what it removed, and ends
    with 0 also if there was nothing.

    \b
    Examples:
      tcnat cleanup
      tcnat cleanup --pin-path /sys/fs/bpf/other
    """
    from tcnat.cleanup import cleanup  # noqa: PLC0415  (--help does without it)

    click.echo("\n".join(cleanup(pin_path, force=force).lines()))
