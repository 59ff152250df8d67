"""One file read once: its objects and what is wrong with it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from tcnat.objects import Object, ObjectRef, Problem, parse_documents


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file held. ``signature`` is its status before it was read; 0 where it could not be read at all."""

    signature: int
    objects: Mapping[ObjectRef, Object] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def unsure(self) -> bool:
        """Whether something is wrong that no object can be blamed for: the file may be half-written."""
        return any(problem.ref is None for problem in self.problems)

    def with_last_good(self, before: Mapping[ObjectRef, Object]) -> Mapping[ObjectRef, Object]:
        """The objects, and of those that are broken now, or may be in what could not be read, their last good state."""
        if not self.problems:
            return self.objects
        kept = before.keys() if self.unsure else before.keys() & {problem.ref for problem in self.problems}
        return {**{ref: before[ref] for ref in before if ref in kept}, **self.objects}


def read(path: str) -> Reading | None:
    """Read a file; None if it is not there. Whatever else is wrong is a problem of the reading."""
    try:
        # A pipe without a writer would block.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return Reading(0, problems=(Problem(path, "is not a regular file"),))
            data = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        return Reading(0, problems=(Problem(path, error.strerror or "cannot be read"),))
    if not data.strip():
        return Reading(signature(status), problems=(Problem(path, "is empty; to remove its objects, remove it"),))
    return _parsed(data, path, signature(status))


def signature(status: os.stat_result) -> int:
    """A number that changes with the file; never 0."""
    return hash((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)) or 1


def _parsed(data: bytes, path: str, signature: int) -> Reading:
    objects: dict[ObjectRef, Object] = {}
    problems: list[Problem] = []
    for found in parse_documents(data, path):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            objects[found.ref] = found
    return Reading(signature, objects, tuple(problems))
