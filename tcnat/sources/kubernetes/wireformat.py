"""Lists and watch events as the API server sends them, decoded only as far as they are used. Pure."""

from __future__ import annotations

import msgspec


class ListMeta(msgspec.Struct, frozen=True, rename={"resource_version": "resourceVersion", "more": "continue"}):
    """``metadata`` of a list."""

    resource_version: str = ""
    more: str = ""


class Page(msgspec.Struct, frozen=True):
    """A list, or a page of one; the items stay as they came."""

    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


class Event(msgspec.Struct, frozen=True):
    """A line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, and the object as it came."""

    type: str
    object: msgspec.Raw


class ObjectMeta(msgspec.Struct, frozen=True, rename={"resource_version": "resourceVersion"}):
    """What tells one state of an object from another."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class Meta(msgspec.Struct, frozen=True):
    """Any object, down to its metadata."""

    metadata: ObjectMeta = ObjectMeta()


class Status(msgspec.Struct, frozen=True):
    """The object of an ERROR event."""

    code: int = 0
    message: str = ""


class GroupVersion(msgspec.Struct, frozen=True):
    """One version of an API group."""

    version: str


class Group(msgspec.Struct, frozen=True):
    """What ``/apis/GROUP`` answers."""

    versions: list[GroupVersion] = []


page = msgspec.json.Decoder(Page)
event = msgspec.json.Decoder(Event)
meta = msgspec.json.Decoder(Meta)
status = msgspec.json.Decoder(Status)
group = msgspec.json.Decoder(Group)
