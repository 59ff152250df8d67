"""A flood of SYNs, more than the table of new flows holds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tcnat.layout import MAPS, Family
from tests.lab import Lab
from tests.lab.flood import flood
from tests.lab.stage import ECHO_PORT, Stage, stage

SYNS = MAPS["flows_new"].entries + 10_000


@pytest.fixture(scope="module", params=[0, 1], ids=["network-facing", "workload-facing"])
def flooded(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with Lab(pods=request.param) as lab, stage(lab) as made:
        yield made


def test_a_flood_breaks_no_open_connection_and_new_ones_still_open(flooded: Stage, family: Family) -> None:
    service = flooded.service()
    open_before = [flooded.tcp(service, family) for _ in range(30)]
    flood(flooded.client, family, service.addresses.of(family), ECHO_PORT, SYNS)
    for connection in open_before:
        assert connection.echo(b"still there?") == b"still there?"
        connection.socket.close()
    for _ in range(30):
        with flooded.tcp(service, family) as connection:
            assert connection.server in flooded.echoes
