"""Cutting a failing run down to the events that matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.stateful.script import Event


def minimise(events: Sequence[Event], fails: Callable[[Sequence[Event]], bool]) -> list[Event]:
    """Fewer events that still fail: pieces of them are left out, ever smaller ones (delta debugging)."""
    kept = list(events)
    size = max(1, len(kept) // 2)
    while True:
        at = 0
        while at < len(kept):
            fewer = kept[:at] + kept[at + size :]
            if fails(fewer):
                kept = fewer
            else:
                at += size
        if size == 1:
            return kept
        size = max(1, size // 2)
