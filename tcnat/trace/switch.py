"""Who traces: a process id in the settings map, 0 for nobody. Packets are looked at for a trace while it is not 0."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Protocol

from tcnat.errors import TcnatError
from tcnat.layout import SETTINGS, Family

_FIRST = bytes(4)
_AT, _SIZE = SETTINGS.offsets(Family.IPV4)["trace"]  # the same for both families


class SettingsMap(Protocol):
    """Of :class:`tcnat.bpf.Map`, what is used of the settings map."""

    def lookup(self, key: bytes, /) -> bytes | None: ...

    def update(self, key: bytes, value: bytes, /) -> None: ...


def tracer(settings: SettingsMap) -> int:
    """The process that traces, 0 if none does or it is gone."""
    pid = _noted(settings)
    return pid if pid and Path(f"/proc/{pid}").exists() else 0


def claim(settings: SettingsMap) -> None:
    """Make sure that nobody else traces; TcnatError if somebody does."""
    pid = tracer(settings)
    if pid and pid != os.getpid():
        raise TcnatError(f"process {pid} traces already: one trace runs at a time, end that one first")


def switch(settings: SettingsMap, pid: int) -> None:
    """Note who traces, and leave the other settings as they are."""
    value = settings.lookup(_FIRST)
    if value is not None:
        settings.update(_FIRST, value[:_AT] + pid.to_bytes(_SIZE, sys.byteorder) + value[_AT + _SIZE :])


def clear_stale(settings: SettingsMap) -> bool:
    """Turn off a trace whose process was killed, so that packets stop paying for it. Whether there was one."""
    if not _noted(settings) or tracer(settings):
        return False
    switch(settings, 0)
    return True


def _noted(settings: SettingsMap) -> int:
    value = settings.lookup(_FIRST) or bytes(_AT + _SIZE)
    return int.from_bytes(value[_AT : _AT + _SIZE], sys.byteorder)
