"""Which datapath is used, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcnat.datapath import describe_choice, has_cgroup2
from tcnat.errors import TcnatError


@pytest.mark.parametrize(
    ("wanted", "lru", "cgroup2", "words"),
    [
        ("auto", True, True, ["datapath=tc", "auto: the only one", "Linux 6.1", "LRU maps", "cgroup2 mounted"]),
        ("auto", False, False, ["no LRU maps: the agent sweeps the flow tables", "cgroup2 not mounted"]),
        ("tc", True, False, ["datapath=tc (as told)"]),
    ],
)
def test_the_choice_is_told_in_one_line(wanted: str, lru: bool, cgroup2: bool, words: list[str]) -> None:
    line = describe_choice(wanted, "6.1", lru=lru, cgroup2=cgroup2)
    assert all(word in line for word in words)
    assert "\n" not in line


def test_another_datapath_is_refused_in_one_line() -> None:
    with pytest.raises(TcnatError, match="there is no datapath 'sockets'; use --datapath=tc, or auto"):
        describe_choice("sockets", "6.1", lru=True, cgroup2=True)


def test_cgroup2_is_known_by_its_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n")
    assert not has_cgroup2(mounts)
    mounts.write_text("cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0\n")
    assert has_cgroup2(mounts)
