"""What docs/security.md lists, and agents that are held to it."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager

from tcnat.layout import Family
from tests.lab import Lab
from tests.lab.stage import Stage, stage
from tests.lab.versions import CHECKOUT, REPOSITORY, Installed

DOCUMENT = (REPOSITORY / "docs" / "security.md").read_text()
_ROW = re.compile(r"^\| Linux (\d+)\.(\d+) (?:and later|to) [^|]*\| ([^|]+) \|", re.MULTILINE)
READ_ONLY = """\
set -e
for place in /run/tcnat /var/cache/tcnat; do mkdir -p "$place"; mount --bind "$place" "$place"; done
while read -r _ place kind _; do
    case "$place" in /run/tcnat | /var/cache/tcnat | /proc | /proc/*) continue ;; esac
    [ "$kind" = bpf ] || mount -o remount,bind,ro "$(printf '%b' "$place")"
done < /proc/self/mounts
if touch /tmp/tcnat-written /etc/tcnat-written /var/tcnat-written 2>/dev/null; then exit 9; fi
exec "$@"
"""
"""Everything but the bpffs, the lock's directory and the cache becomes read-only, for this program alone."""


def listed() -> list[frozenset[str]]:
    """What the document lists for each range of kernels, the newest first."""
    return [frozenset(re.findall(r"CAP_\w+", names)) for _, _, names in _ROW.findall(DOCUMENT)]


def listed_here() -> frozenset[str]:
    """What it lists for this kernel."""
    here = tuple(map(int, platform.release().split(".")[:2]))
    froms = [(int(major), int(minor)) for major, minor, _ in _ROW.findall(DOCUMENT)]
    return next(names for start, names in zip(froms, listed(), strict=True) if here >= start)


def only(capabilities: frozenset[str]) -> Installed:
    """This checkout's tcnat, by root with these capabilities alone."""
    kept = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in sorted(capabilities))])
    words = ["setpriv", "--no-new-privs", "--clear-groups", "--inh-caps=-all", f"--bounding-set={kept}"]
    return Installed((*words, *CHECKOUT.command()))


@contextmanager
def at_work(lab: Lab, version: Installed) -> Iterator[Stage]:
    """A stage whose agent ends with the block."""
    with stage(lab, version=version) as made:
        try:
            yield made
        finally:
            made.agent.stop()


def serve(scene: Stage) -> None:
    """Real traffic of both families and protocols."""
    service = scene.service()
    for family in Family:
        with scene.tcp(service, family) as connection:
            assert connection.echo(b"x" * 10_000) == b"x" * 10_000
        with scene.udp(service, family) as socket:
            assert socket.ask(b"question") == "backend1"
