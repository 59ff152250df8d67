"""A flood of SYNs, more than the table of new flows holds."""

from __future__ import annotations

from tcnat.layout import MAPS, Family
from tests.lab.flood import flood
from tests.lab.stage import ECHO_PORT, Stage

SYNS = MAPS["flows_new"].entries + 10_000


def test_a_flood_breaks_no_open_connection_and_new_ones_still_open(scene: Stage, family: Family) -> None:
    service = scene.service()
    open_before = [scene.tcp(service, family) for _ in range(30)]
    flood(scene.client, family, service.addresses.of(family), ECHO_PORT, SYNS)
    for connection in open_before:
        assert connection.echo(b"still there?") == b"still there?"
        connection.socket.close()
    for _ in range(30):
        with scene.tcp(service, family) as connection:
            assert connection.server in scene.echoes
