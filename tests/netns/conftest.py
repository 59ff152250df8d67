"""The labs in which real sockets speak through tcnat; each module has its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tcnat.layout import Family
from tests.lab import Lab
from tests.lab.stage import Stage, stage


@pytest.fixture(params=[Family.IPV4, Family.IPV6], ids=["IPv4", "IPv6"])
def family(request: pytest.FixtureRequest) -> Family:
    """Each test that asks for it runs once for each address family."""
    found: Family = request.param
    return found


@pytest.fixture(scope="module", params=[0, 2], ids=["network-facing", "workload-facing"])
def scene(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The agent on a device of each role: eth0 of a pod VM, and the host's ends of two pods' veths."""
    with Lab(pods=request.param) as lab, stage(lab) as made:
        yield made
