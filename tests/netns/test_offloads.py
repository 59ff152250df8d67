"""Checksums and segmentation left to devices, in every combination that a veth can have.

The router's device to the backend and the tap at the client compute what the devices before them left out, so that
captures of what they send show whether the pseudo headers and sizes that tcnat handed on were right.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from tcnat.layout import Family
from tests.lab import Lab
from tests.lab.capture import Capture, Tap
from tests.lab.stage import Stage, stage

SENDING = [dict(zip(("tx", "sg", "tso"), on, strict=True)) for on in ((0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1))]
"""The kernel has no scatter-gather without transmit checksums, and no TSO without scatter-gather."""
RECEIVING = [dict(zip(("rx", "gso", "gro"), on, strict=True)) for on in itertools.product((0, 1), repeat=3)]
COMBINATIONS = [sending | receiving for sending in SENDING for receiving in RECEIVING]


@pytest.fixture(scope="module", params=[0, 1], ids=["network-facing", "workload-facing"])
def tapped(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with Lab(backends=1, pods=request.param) as lab:
        lab.router.offloads("backend1", tx=False)
        Tap(lab.client)
        with stage(lab) as made:
            yield made


def switch(scene: Stage, features: dict[str, int]) -> None:
    lab = scene.lab
    lab.client.offloads("eth0", **features)
    lab.backends[0].offloads("eth0", **features)
    lab.router.offloads(lab.node.role, **features)
    if lab.pods:
        lab.node.offloads("eth0", **features)
        lab.node.offloads("pod1", **features)


def test_every_combination_carries_data_with_good_checksums(tapped: Stage, family: Family) -> None:
    service = tapped.service()
    data, datagram = os.urandom(150_000), os.urandom(4000)
    at_backend = Capture(tapped.lab, tapped.lab.router, "backend1", direction="out")
    at_client = Capture(tapped.lab, tapped.client, Tap.device)
    with at_backend, at_client:
        for features in COMBINATIONS:
            switch(tapped, features)
            with tapped.tcp(service, family) as connection, tapped.udp(service, family) as flow:
                assert connection.echo(data) == data, features
                assert flow.ask(datagram) == "backend1", features
    at_backend.assert_checksums_good()
    at_client.assert_checksums_good()
