"""The same harnesses as in the packet tests."""

from __future__ import annotations

from tests.packets.conftest import harness, harnesses

__all__ = ["harness", "harnesses"]
