"""``tcnat sysdump``: one archive of what support asks for."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import click

from tcnat.cli.reading import pin_path_option


@click.command("sysdump")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The archive to write.  [default: tcnat-sysdump-TIME.tar.gz]",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The agent's config file, where no agent runs that names it.",
)
@pin_path_option
def command(output: Path | None, config_file: Path | None, pin_path: Path) -> None:
    """Pack what support asks for into one archive: check, version, settings, status, services, backends, flows,
    devices, filters, health, metrics, and the kernel's words about bpf.

    Tokens, passwords, keys and certificates are taken out. What cannot be had is named in the archive's errors.txt,
    and the rest is packed.

    \b
    Examples:
      tcnat sysdump
      tcnat sysdump -o /tmp/node-7.tar.gz
    """
    from tcnat.cli.gathering import parts  # noqa: PLC0415  (--help does without it)
    from tcnat.sysdump import gather, pack  # noqa: PLC0415

    now = time.time()
    path = output or Path(f"tcnat-sysdump-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    gathered = gather(parts(pin_path, config_file))
    pack(gathered, path, now)
    for failure in gathered.failures:
        click.echo(f"not in it: {failure}", err=True)
    click.echo(f"{path}: {len(gathered.texts)} files")
