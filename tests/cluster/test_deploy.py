"""What deploy/ ships, judged by those who will read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.commands import run

from . import binaries

pytestmark = pytest.mark.cluster

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_promtool_accepts_the_alerts() -> None:
    assert "SUCCESS" in run([binaries.found().promtool, "check", "rules", DEPLOY / "prometheus-alerts.yaml"])
