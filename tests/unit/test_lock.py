"""One agent for each set of pins."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tcnat import lock
from tcnat.errors import TcnatError
from tcnat.lock import NamespaceLock, PinsLock

PINS = Path("/sys/fs/bpf/tcnat")


def hold(pins: Path, directory: Path, pipe: Connection) -> None:
    """Take the locks, say so, keep them until told to go."""
    with PinsLock(pins, directory), NamespaceLock(None, directory):
        pipe.send(os.getpid())
        pipe.recv()


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the locks on PINS and on this network namespace."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=hold, args=(PINS, tmp_path, theirs))
    process.start()
    assert ours.poll(10)
    ours.recv()
    yield process
    process.kill()
    process.join()


def test_a_second_agent_on_the_same_pins_is_told_who_holds_them(tmp_path: Path, holder) -> None:
    with pytest.raises(TcnatError) as refused:
        PinsLock(PINS, tmp_path).acquire()
    assert f"pid {holder.pid}" in str(refused.value)
    assert str(PINS) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert lock.holder(PINS, tmp_path) == holder.pid


def test_an_agent_that_was_killed_holds_nothing(tmp_path: Path, holder) -> None:
    holder.kill()
    holder.join()
    assert lock.holder(PINS, tmp_path) is None
    with PinsLock(PINS, tmp_path):
        assert lock.holder(PINS, tmp_path) == os.getpid()


def test_other_pins_have_another_lock(tmp_path: Path, holder) -> None:
    with PinsLock(Path("/sys/fs/bpf/tcnat-2"), tmp_path):
        pass
    assert lock.lock_path(Path("/a-b/c"), tmp_path) != lock.lock_path(Path("/a/b-c"), tmp_path)


def test_another_spelling_of_the_path_is_the_same_lock(tmp_path: Path, holder) -> None:
    with pytest.raises(TcnatError):
        PinsLock(Path("/sys/fs/../fs/bpf/tcnat/"), tmp_path).acquire()


def test_a_lock_file_that_is_removed_while_it_is_being_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removals = iter([True, True])
    flock = fcntl.flock

    def flock_and_remove(fd: int, how: int) -> None:
        flock(fd, how)
        if next(removals, False):
            lock.lock_path(PINS, tmp_path).unlink()

    monkeypatch.setattr("tcnat.lock.fcntl.flock", flock_and_remove)
    with PinsLock(PINS, tmp_path):
        assert lock.holder(PINS, tmp_path) == os.getpid()


def test_nobody_holds_pins_that_were_never_locked_or_given_back(tmp_path: Path) -> None:
    assert lock.holder(PINS, tmp_path) is None
    with PinsLock(PINS, tmp_path):
        pass
    assert lock.holder(PINS, tmp_path) is None


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TcnatError, match="cannot make the lock file"):
        PinsLock(PINS, tmp_path / "file" / "run").acquire()


# --- the network namespace -------------------------------------------------------------------------------------------


def test_a_second_agent_in_the_namespace_is_told_who_is_there_and_with_which_pins(tmp_path: Path, holder) -> None:
    with pytest.raises(TcnatError) as refused, NamespaceLock(None, tmp_path):
        pass
    assert f"pid {holder.pid}, pins at {PINS}" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_refusal_leaves_the_lock_with_its_holder(tmp_path: Path, holder) -> None:
    for _ in range(2):
        with pytest.raises(TcnatError, match="serves the devices of this network namespace"):
            NamespaceLock(None, tmp_path).__enter__()


def test_a_namespace_whose_agent_was_killed_is_free(tmp_path: Path, holder) -> None:
    holder.kill()
    holder.join()
    for _ in range(2):
        with NamespaceLock(None, tmp_path):
            pass


def test_another_namespace_is_free(tmp_path: Path, holder, monkeypatch: pytest.MonkeyPatch) -> None:
    here = lock.inode(None)
    monkeypatch.setattr(lock, "inode", lambda _: here + 1)
    with NamespaceLock(None, tmp_path):
        pass


def test_a_holder_that_ends_while_it_is_looked_for_is_no_reason_to_refuse(
    tmp_path: Path, holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = fcntl.fcntl

    def end_first(*args):
        holder.kill()
        holder.join()
        return really(*args)

    monkeypatch.setattr("tcnat.lock.fcntl.fcntl", end_first)
    with NamespaceLock(None, tmp_path):
        pass


def test_a_namespace_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(TcnatError, match=r"network namespace tcnat-nowhere .*: No such file"):
        NamespaceLock("tcnat-nowhere", tmp_path)
