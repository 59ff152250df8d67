"""Which file holds which object, and which of them counts. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from tcnat.objects import Object, ObjectRef
from tcnat.sources import Changes
from tcnat.sources.roots import FileId

_NOTHING: Mapping[ObjectRef, Object] = {}


class Holdings:
    """The objects of every file. Of an object in several files, the one in the last file counts."""

    def __init__(self) -> None:
        self._objects: dict[FileId, Mapping[ObjectRef, Object]] = {}
        self._holders: dict[ObjectRef, tuple[FileId, ...]] = {}  # in rising order: the last one counts
        self._changed: dict[ObjectRef, Object | None] = {}

    def of(self, file: FileId) -> Mapping[ObjectRef, Object]:
        """What a file holds."""
        return self._objects.get(file, _NOTHING)

    def put(self, file: FileId, objects: Mapping[ObjectRef, Object]) -> None:
        """From now on the file holds exactly these."""
        before = self.of(file)
        touched = [ref for ref, found in objects.items() if before.get(ref) != found]
        touched += [ref for ref in before if ref not in objects]
        counted = {ref: self._counting(ref) for ref in touched}
        if objects:
            self._objects[file] = objects
        else:
            self._objects.pop(file, None)
        for ref in touched:
            if (ref in objects) != (ref in before):
                self._hold(ref, file, holds=ref in objects)
            counts = self._counting(ref)
            if counts != counted[ref]:
                self._changed[ref] = counts

    def take_changes(self) -> Changes:
        """What counts otherwise than at the last call."""
        changed, self._changed = self._changed, {}
        return changed

    def _hold(self, ref: ObjectRef, file: FileId, *, holds: bool) -> None:
        others = [other for other in self._holders.pop(ref, ()) if other != file]
        if holds:
            others.append(file)
            others.sort()
        if others:
            self._holders[ref] = tuple(others)

    def _counting(self, ref: ObjectRef) -> Object | None:
        holders = self._holders.get(ref)
        return self._objects[holders[-1]][ref] if holders else None
