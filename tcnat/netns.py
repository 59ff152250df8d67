"""Network namespaces for the calling thread: entering one that is there, and a throw-away one.

A socket stays in the namespace in which it was made, whoever uses it later. Source: setns(2), unshare(2).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tcnat.errors import TcnatError

DIRECTORY = "/run/netns"
"""Where ip-netns(8) keeps its names."""
OWN = "/proc/thread-self/ns/net"
"""The calling thread's own."""
_CLONE_NEWNET = 0x40000000


@contextmanager
def entered(netns: str | None) -> Iterator[None]:
    """Put the calling thread into a namespace (a name or path; None: where it is) for a while; TcnatError if it is not
    there or may not be entered."""
    if netns is None:
        yield
        return
    path = _path(netns)
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise TcnatError(f"network namespace {netns} ({path}): {error.strerror}") from None
    try:
        with _moved("setns", there, _CLONE_NEWNET, what=f"cannot enter network namespace {netns}"):
            yield
    finally:
        os.close(there)


def inode(netns: str | None) -> int:
    """The number that a namespace has (a name or path; None: the calling thread's) and no other has at the time;
    TcnatError if it is not there."""
    try:
        return os.stat(_path(netns)).st_ino
    except OSError as error:
        raise TcnatError(f"network namespace {netns} ({_path(netns)}): {error.strerror}") from None


@contextmanager
def throwaway() -> Iterator[None]:
    """Put the calling thread into a new namespace, with nothing but a loopback that is down; it goes with the last
    socket in it. TcnatError where that is not allowed (it takes CAP_SYS_ADMIN)."""
    with _moved("unshare", _CLONE_NEWNET, what="cannot make a network namespace"):
        yield


def keep_quiet() -> None:
    """No IPv6 addresses in the thread's namespace, one of its own, so that the kernel sends nothing by itself."""
    for scope in ("all", "default"):
        setting = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
        if setting.exists():
            setting.write_text("1")


def _path(netns: str | None) -> str:
    if netns is None:
        return OWN
    return netns if "/" in netns else f"{DIRECTORY}/{netns}"


@contextmanager
def _moved(call: str, *arguments: int, what: str) -> Iterator[None]:
    """Move the thread by a call of libc's, and back in the end."""
    home = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _libc_call(call, *arguments, what=what)
        try:
            yield
        finally:
            _libc_call("setns", home, _CLONE_NEWNET, what="cannot return to tcnat's own network namespace")
    finally:
        os.close(home)


def _libc_call(name: str, *arguments: int, what: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise TcnatError(f"{what}: {os.strerror(ctypes.get_errno())}")
