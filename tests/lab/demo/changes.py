"""The demo takes a backend away and adds another, while requests are made without pause."""

from __future__ import annotations

import itertools
import re
from collections import Counter

from tcnat.layout import Family

from ..lab import Host
from ..load import FAILED, Stream
from .scene import WEB, Scene

FILE_SIZE = 4_000_000
"""Bytes of a download, which goes on for some 4 s."""


class Download:
    """A slow download over the web Service, by curl, which is under way from a certain backend."""

    def __init__(self, scene: Scene, number: int) -> None:
        directory = scene.lab.directory
        (scene.lab.files / "file").write_bytes(b"x" * FILE_SIZE)
        self._headers = directory / f"download-{number}.headers"
        self._body = directory / f"download-{number}"
        url = WEB.addresses.url(Family.IPV4, 80, "/slow/file")
        words = ["curl", "-sS", "-D", str(self._headers), "-o", str(self._body), url]
        self._program = scene.lab.start(scene.lab.client, *words, log=f"download-{number}.log")

    @classmethod
    def from_backend(cls, scene: Scene, wanted: Host) -> Download:
        """Start downloads until one comes from the wanted backend."""
        for number in itertools.count(1):
            download = cls(scene, number)
            if download._backend() == wanted.role:
                return download
            download._program.stop()
        raise AssertionError("unreachable")

    def finish(self) -> int:
        """Wait for its end; how many bytes came."""
        self._program.wait(30)
        return self._body.stat().st_size

    def _backend(self) -> str:
        pattern = re.compile(r"^Backend: (\S+)\r?$", re.MULTILINE)
        self._program.wait_for(
            lambda: self._headers.exists() and pattern.search(self._headers.read_text()), "the answer's headers"
        )
        found = pattern.search(self._headers.read_text())
        assert found
        return found[1]


def show_changes(scene: Scene) -> None:
    """No request may fail, those under way go on, and nothing new goes to the backend that is gone."""
    lab, paper = scene.lab, scene.paper
    leaver, newcomer = lab.backends[1], lab.add_backend()
    scene.serve(newcomer)
    paper.section(f"{leaver.role} is taken away and {newcomer.role} added, while requests keep running")
    before, without, after = "three backends", f"without {leaver.role}", f"with {newcomer.role}"
    with Stream(list(scene.questions(10).values())) as stream:
        stream.phase(before, 1)
        download = Download.from_backend(scene, leaver)
        stream.between()
        scene.use([host for host in lab.backends if host not in (leaver, newcomer)])
        stream.phase(without, 1)
        scene.webs[leaver.role].end_when_done()
        scene.names[leaver.role].stop()
        stream.phase(without, 1)
        stream.between()
        scene.use([host for host in lab.backends if host is not leaver])
        stream.phase(after, 1.5)
    phases = {name: stream.phases[name] for name in (before, "", without, after)}
    roles = [host.role for host in lab.backends]
    rows = [
        [name or "while it changed", counts.total(), counts[FAILED], *(counts[role] for role in roles)]
        for name, counts in phases.items()
    ]
    paper.table(["backends", "requests", "failed", *roles], rows)
    total = sum(phases.values(), Counter[str]())
    paper.check(total[FAILED] == 0, f"{total[FAILED]} of {total.total()} requests failed")
    paper.check(phases[without][leaver.role] + phases[after][leaver.role] == 0, f"nothing new went to {leaver.role}")
    paper.check(phases[after][newcomer.role] > 0, f"{newcomer.role} took its share")
    got = download.finish()
    paper.check(got == FILE_SIZE, f"a download from {leaver.role} that was under way got {got} of {FILE_SIZE} bytes")
