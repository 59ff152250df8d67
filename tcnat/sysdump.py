"""What support asks for, gathered into one archive.

A part that cannot be had is named in ``errors.txt`` with the reason; every text passes :mod:`tcnat.scrub`.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tcnat.errors import TcnatError
from tcnat.scrub import scrubbed


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the archive, and what gives its text; that may raise whatever it likes."""

    name: str
    read: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Gathered:
    """Texts by file name, and for each part that could not be had a line that says why."""

    texts: dict[str, str]
    failures: tuple[str, ...]


def gather(parts: Iterable[Part]) -> Gathered:
    """Read every part."""
    texts: dict[str, str] = {}
    failures = []
    for part in parts:
        try:
            texts[part.name] = scrubbed(part.read()).rstrip("\n") + "\n"
        except Exception as error:  # one part's fault is not to hide the others
            failures.append(scrubbed(f"{part.name}: {_in_words(error)}"))
    return Gathered(texts, tuple(failures))


def pack(gathered: Gathered, path: Path, now: float) -> None:
    """Write the archive (.tar.gz, readable by its owner only), its files in a directory of its name; ``now`` is their
    time in seconds since the epoch. TcnatError if it cannot be written."""
    texts = {**gathered.texts, "errors.txt": "".join(f"{line}\n" for line in gathered.failures) or "none\n"}
    try:
        path.touch(mode=0o600)
        with tarfile.open(path, "w:gz") as archive:
            for name, text in sorted(texts.items()):
                data = text.encode()
                member = tarfile.TarInfo(f"{path.name.removesuffix('.tar.gz')}/{name}")
                member.size, member.mtime, member.mode = len(data), int(now), 0o600
                archive.addfile(member, io.BytesIO(data))
    except OSError as error:
        raise TcnatError(f"{path} cannot be written: {error.strerror}") from None


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, TcnatError) else f"{type(error).__name__}: {error}"
