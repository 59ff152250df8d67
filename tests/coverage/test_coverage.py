"""What no test meets is known, and why."""

from __future__ import annotations

import pytest

from tests.coverage.measure import measure


@pytest.mark.slow
@pytest.mark.root
def test_every_branch_that_can_be_reached_is() -> None:
    report = measure()
    print("\n".join(report.lines()))
    assert report.surprises() == []
