"""How flags and config keys are written: each function takes one value's text and gives what it means, or raises
ValueError with words that fit behind the name of the flag."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|h|m|s)")


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def duration(text: str) -> float:
    """Seconds of a duration as Go writes it: ``30s``, ``1m30s``, ``500ms``, ``0``."""
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration; write it as 30s, 1m30s or 500ms")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def long_duration(text: str) -> float:
    """A duration of at least a second, the resolution of the maps' time-outs."""
    seconds = duration(text)
    if not 1 <= seconds < 2**31:
        raise ValueError(f"{text!r} is too short or too long; it must be at least 1s")
    return seconds


def format_duration(seconds: float) -> str:
    """A duration as :func:`duration` reads it."""
    if seconds and seconds < 1:
        return f"{seconds * 1000:g}ms"
    whole = round(seconds)
    for unit, size in (("h", 3600), ("m", 60)):
        if whole and whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{seconds:g}s"


def bind_address(default_port: int) -> Callable[[str], Address | None]:
    """A reader of ``IP``, ``IP:PORT``, ``[IPv6]:PORT`` or ``:PORT``; an empty text means no server."""

    def read(text: str) -> Address | None:
        if not text:
            return None
        host, port = _split_host(text, default_port)
        try:
            ipaddress.ip_address(host)
            number = int(port)
        except ValueError:
            number = -1
        if not 0 <= number < 65536:
            raise ValueError(f"{text!r} is not an address to listen at; write it as 127.0.0.1:{default_port}")
        return Address(host, number)

    return read


def _split_host(text: str, default_port: int) -> tuple[str, str]:
    if text.startswith("[") and "]" in text:
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") or str(default_port)
    if text.count(":") > 1:  # a bare IPv6 address
        return text, str(default_port)
    host, _, port = text.partition(":")
    return host or "0.0.0.0", port or str(default_port)


def cidr(text: str) -> str:
    """An IPv4 or IPv6 network in its canonical text."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError(f"{text!r} is not a network; write it as 10.244.0.0/16") from None


def nodeport_address(text: str) -> str:
    """A network, or ``primary`` for the Node object's own addresses (rule 19)."""
    return text if text == "primary" else cidr(text)


def count(text: str) -> int:
    """A whole number, not negative."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def table_size(text: str) -> int:
    """How many entries a map is to have."""
    entries = count(text)
    if not 1024 <= entries <= 1 << 24:
        raise ValueError(f"{text!r} is out of range; it must be between 1024 and 16777216")
    return entries


def switch(text: str) -> bool:
    """true or false."""
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def choice(*words: str) -> Callable[[str], str]:
    """A reader of one of a few words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is not one of {', '.join(words)}")
        return text

    return read


def name(text: str) -> str:
    """A name that is not empty."""
    if not text:
        raise ValueError("is empty")
    return text


def path(text: str) -> Path:
    """A path; relative ones are relative to where the command was started."""
    return Path(name(text))


def optional_path(text: str) -> Path | None:
    """A path, or none."""
    return Path(text) if text else None
