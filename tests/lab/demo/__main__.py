"""The command behind ``make demo`` and ``make demo-clean``."""

from __future__ import annotations

import os
import platform
import signal
import sys
import time
from types import FrameType

import click

from .. import stale
from ..commands import CommandFailed
from ..lab import Lab
from .calm import show_counters, show_lab, show_spread
from .changes import show_changes
from .packets import show_packets
from .paper import Paper
from .scene import DNS, WEB, Scene

KEPT = "tcnat-demo"
"""What a lab is called that stays."""


@click.command()
@click.option("--keep", is_flag=True, help="Leave the lab standing.")
@click.option("--clean", is_flag=True, help="Remove the lab that was left standing, and do nothing else.")
def main(keep: bool, clean: bool) -> None:
    """Show Services at work in a lab of network namespaces; ends with 1 when anything is not right."""
    if os.geteuid() != 0:
        raise click.ClickException("the lab needs root: run make demo as root")
    stale.sweep()
    if keep or clean:
        stale.remove(KEPT)
    if not clean:
        sys.exit(_run(keep))


def _run(keep: bool) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    paper = Paper()
    began = time.monotonic()
    click.secho(f"tcnat: Kubernetes Services through tc, on kernel {platform.release()}", bold=True)
    try:
        with Lab(offloads=False, name=KEPT if keep else None) as lab:
            scene = Scene(lab, paper)
            _show(scene)
            if keep:
                lab.keep()
    except KeyboardInterrupt:
        click.secho("\nInterrupted; the lab is removed.", fg="yellow")
        return 130
    click.echo()
    verdict = f"Not right: {len(paper.wrong)}" if paper.wrong else "All is as it should be"
    click.secho(f"{verdict}; {time.monotonic() - began:.0f} s.", fg="red" if paper.wrong else "green", bold=True)
    if keep:
        _tell_the_way(scene)
    return 1 if paper.wrong else 0


def _show(scene: Scene) -> None:
    try:
        for show in (show_lab, show_spread, show_packets, show_counters, show_changes):
            show(scene)
    except (CommandFailed, TimeoutError, AssertionError) as error:
        scene.paper.check(False, str(error))


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End, and let nothing disturb the cleaning up."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _tell_the_way(scene: Scene) -> None:
    lab = scene.lab
    click.echo(
        f"""
The lab stands, and the agent runs in it. To walk into the client:
   nsenter --net={lab.client.path}
and there:
   curl http://{WEB.addresses.v4}/
   curl http://[{WEB.addresses.v6}]/
   dig +short @{DNS.addresses.v4} whoami.lab TXT
   .venv/bin/tcnat get services --pin-path {lab.pins}
The agent follows {scene.agent.objects}; its log is {scene.agent.program.log}.
To remove all of it: make demo-clean"""
    )


if __name__ == "__main__":
    main()
