"""Ways through the C that no packet test takes, and why."""

from __future__ import annotations

UNREACHED: dict[tuple[str, str, bool], str] = {}
"""(file, condition, whether it is true) -> why nobody comes there."""

UNSEEN_REASONS: dict[str, str] = {}
"""Reason -> why no packet test counts it."""
