"""Recording works as ever: traffic that is recorded now, replayed at once against what is derived from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.captures.catalogue import OBJECTS, Case
from tests.captures.record import FAMILIES, NARROW_MTU, SCENARIOS, record, start_servers
from tests.captures.replaying import run
from tests.lab.lab import Lab

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture(scope="module", params=[None, NARROW_MTU], ids=["", "narrow link"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(backends=1, narrow=request.param, offloads=False) as made:
        start_servers(made)
        yield made


def test_what_is_recorded_now_is_replayed_as_derived(lab: Lab, tmp_path: Path) -> None:
    narrow = lab.router is not lab.far_router
    for name, (_, mtu, _) in SCENARIOS.items():
        if (mtu is not None) is not narrow:
            continue
        for suffix, family in FAMILIES.items():
            recording = tmp_path / f"{name}-{suffix}.pcap"
            record(name, lab, family, recording)
            capture, golden = tmp_path / "capture.pcap", tmp_path / "golden.pcap"
            for file, data in zip((capture, golden), Case(recording.stem, recording).derive(), strict=True):
                file.write_bytes(data)
            done = run(capture, "--objects", OBJECTS, "-o", "summary", "--expect", golden)
            assert done.code == 0, f"{recording.stem}: {done.output}"
            assert " 0 rewrite" not in done.output, recording.stem
