"""Who traces."""

from __future__ import annotations

import os

import pytest

from tcnat.errors import TcnatError
from tcnat.settings import Settings
from tcnat.trace.switch import claim, clear_stale, switch, tracer

from .fakes import fake_maps

NOBODY = 2**22 + 1
"""No process has this id: it is past the largest that Linux gives."""


def test_one_process_traces_and_the_other_settings_stay() -> None:
    settings = fake_maps()["settings"]
    settings.update(bytes(4), Settings().pack())
    switch(settings, os.getpid())
    assert tracer(settings) == os.getpid()
    switch(settings, 0)
    assert settings.lookup(bytes(4)) == Settings().pack()


def test_another_one_is_refused() -> None:
    settings = fake_maps()["settings"]
    settings.update(bytes(4), Settings().pack(trace=os.getppid()))
    with pytest.raises(TcnatError, match=f"process {os.getppid()} traces already"):
        claim(settings)


def test_a_trace_that_was_killed_is_switched_off_and_one_that_lives_is_not() -> None:
    settings = fake_maps()["settings"]
    settings.update(bytes(4), Settings().pack(trace=NOBODY))
    claim(settings)
    assert clear_stale(settings)
    assert settings.lookup(bytes(4)) == Settings().pack()
    switch(settings, os.getpid())
    assert not clear_stale(settings)
    assert tracer(settings) == os.getpid()
