"""Where the API objects come from. A source knows nothing of maps; what it gives is the same whoever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tcnat.objects import Object, ObjectRef, Problem

Changes = Mapping[ObjectRef, Object | None]
"""Objects that came or changed, and None for those that went."""


class Source(Protocol):
    """What the agent asks of a source. Only ``wake`` is called from threads of the source's own."""

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to follow. ``wake`` is to be called, from any thread, whenever :meth:`poll` has something to do.
        TcnatError if what the source was given cannot be right."""

    def poll(self, now: float) -> Changes:
        """What changed since the last call; the first gives everything. ``now`` is in seconds of a steady clock."""

    def deadline(self) -> float | None:
        """When :meth:`poll` is to be called again although nothing woke; None: only when something does."""

    def resync(self, now: float) -> None:
        """Look with the next polls whether anything was missed."""

    @property
    def synced(self) -> bool:
        """Whether everything was read once. Before that nothing is to be programmed (rule 9)."""

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong with the objects at present."""

    def stop(self) -> None:
        """End the source's threads."""
