"""Read API objects from JSON or YAML text, telling good objects from bad ones.

``kubectl get services,endpointslices -o yaml`` (or json) is what is read: single objects, several documents, and lists
of every kind. Objects of kinds that tcnat does not use are left out silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from tcnat import conversion, texts, wire
from tcnat.conversion import Refused
from tcnat.resources import EndpointSlice, Node, Object, ObjectRef, Service, ServiceRef

__all__ = [
    "EndpointSlice",
    "Node",
    "Object",
    "ObjectRef",
    "Problem",
    "Service",
    "ServiceRef",
    "parse_documents",
    "parse_object",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an object, or a whole text, cannot be used; its text is one line that names where, object and field."""

    where: str
    """The file or server that it came from."""
    message: str
    ref: ObjectRef | None = None
    """The object, where so much could be read of it."""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, str(self.ref or ""), self.message) if part)


def parse_documents(text: str | bytes, where: str) -> Iterator[Object | Problem]:
    """Every object in ``text`` in order, and a :class:`Problem` in place of each that cannot be used.

    ``where`` is the file's name, for messages. JSON is tried first where the text looks like it.
    """
    data = text.encode() if isinstance(text, str) else text
    is_json = texts.looks_like_json(data)
    source = _JSON_SOURCE if is_json else _YAML_SOURCE
    for document in texts.json_documents(data) if is_json else texts.yaml_documents(data):
        if isinstance(document, texts.Broken):
            yield Problem(where + document.place, document.message)
        else:
            yield from _documents_in(source, document, where)


def parse_object(raw: bytes | msgspec.Raw, where: str, defaults: _Envelope | None = None) -> Object | Problem | None:
    """The object in a piece of JSON; None if it is of a kind that tcnat does not use.

    ``defaults`` gives the kind and apiVersion of one that does not name them, as items of an API server's lists do not.
    """
    return _build(_JSON_SOURCE, raw, where, defaults)


def kind_of(kind: str, api_version: str) -> _Envelope:
    """For :func:`parse_object`: what an object is that does not say so itself."""
    return _Envelope(kind=kind, api_version=api_version)


class _Envelope(msgspec.Struct, frozen=True, rename={"api_version": "apiVersion"}):
    kind: str | None = None
    api_version: str | None = None


class _JsonEnvelope(_Envelope, frozen=True):
    items: list[msgspec.Raw] | None = None


class _YamlEnvelope(_Envelope, frozen=True):
    items: list[Any] | None = None


class _NamedMetadata(msgspec.Struct, frozen=True):
    name: Any = None
    namespace: Any = None


class _Named(msgspec.Struct, frozen=True):
    metadata: _NamedMetadata | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind is decoded: its shape on the wire, and what becomes of it."""

    shape: type[Any]
    keep: Callable[[Any], Object]
    versions: tuple[str, ...]


_KINDS: dict[str, _Kind] = {
    "Service": _Kind(wire.Service, conversion.service_from, ("v1",)),
    "EndpointSlice": _Kind(
        wire.EndpointSlice, conversion.slice_from, ("discovery.k8s.io/v1", "discovery.k8s.io/v1beta1")
    ),
    "Endpoints": _Kind(wire.Endpoints, conversion.endpoints_from, ("v1",)),
    "Node": _Kind(wire.Node, conversion.node_from, ("v1",)),
}


class _JsonSource:
    """Decodes from JSON bytes."""

    envelope: ClassVar = msgspec.json.Decoder(_JsonEnvelope)
    named: ClassVar = msgspec.json.Decoder(_Named)
    decoders: ClassVar = {kind: msgspec.json.Decoder(how.shape) for kind, how in _KINDS.items()}

    def read_envelope(self, raw: Any) -> _JsonEnvelope:
        return self.envelope.decode(raw)

    def read_name(self, raw: Any) -> _Named:
        return self.named.decode(raw)

    def read(self, kind: str, raw: Any) -> Any:
        return self.decoders[kind].decode(raw)


class _YamlSource:
    """Converts from what the YAML parser made."""

    def read_envelope(self, raw: Any) -> _YamlEnvelope:
        return msgspec.convert(raw, _YamlEnvelope)

    def read_name(self, raw: Any) -> _Named:
        return msgspec.convert(raw, _Named)

    def read(self, kind: str, raw: Any) -> Any:
        return msgspec.convert(raw, _KINDS[kind].shape)


_JSON_SOURCE = _JsonSource()
_YAML_SOURCE = _YamlSource()
_Source = _JsonSource | _YamlSource

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises where the text is not what it should be."""


def _documents_in(source: _Source, raw: Any, where: str) -> Iterator[Object | Problem]:
    """The objects of one document: itself, or the items of a list."""
    try:
        envelope = source.read_envelope(raw)
    except _UNREADABLE as error:
        yield Problem(where, _in_words(error))
        return
    if envelope.items is not None and (envelope.kind or "List").endswith("List"):
        item_kind = (envelope.kind or "List").removesuffix("List") or None
        defaults = _Envelope(item_kind, envelope.api_version) if item_kind else None
        for at, item in enumerate(envelope.items):
            found = _build(source, item, where, defaults, f"items[{at}]")
            if found is not None:
                yield found
    elif envelope.kind is None:
        yield Problem(where, "kind: an object must say what it is")
    else:
        found = _build(source, raw, where, None)
        if found is not None:
            yield found


def _build(
    source: _Source, raw: Any, where: str, defaults: _Envelope | None, position: str = ""
) -> Object | Problem | None:
    kind = ""
    try:
        envelope = source.read_envelope(raw)
        kind = envelope.kind or (defaults and defaults.kind) or ""
        version = envelope.api_version or (defaults and defaults.api_version) or ""
        if not kind:
            raise Refused("kind", "an object must say what it is")
        how = _KINDS.get(kind)
        if how is None or not _same_group(version, how.versions):
            return None
        if version and version not in how.versions:
            raise Refused("apiVersion", f"{version} is not known; known are {', '.join(how.versions)}")
        return how.keep(source.read(kind, raw))
    except (*_UNREADABLE, Refused) as error:
        ref = _name_of(source, raw, kind)
        return Problem(where if ref else _joined(where, position), _in_words(error), ref)


def _joined(where: str, position: str) -> str:
    return f"{where}: {position}" if position else where


def _same_group(version: str, known: tuple[str, ...]) -> bool:
    """Whether an apiVersion (or none) is of the API group that we mean: others have kinds of the same names."""
    return not version or version.rpartition("/")[0] == known[0].rpartition("/")[0]


def _name_of(source: _Source, raw: Any, kind: str) -> ObjectRef | None:
    try:
        metadata = source.read_name(raw).metadata
    except _UNREADABLE:
        return None
    if not kind or metadata is None or not isinstance(metadata.name, str) or not metadata.name:
        return None
    namespace = metadata.namespace if isinstance(metadata.namespace, str) else "default"
    return ObjectRef(kind, "" if kind == "Node" else namespace, metadata.name)


def _in_words(error: Exception) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.spec.ports[0].port`" as "spec.ports[0].port: expected …"."""
    if not isinstance(error, msgspec.ValidationError):
        return str(error)
    message, _, path = str(error).partition(" - at `")
    field = path.rstrip("`").removeprefix("$").removeprefix(".")
    words = message.replace("`", "").replace("Object missing required field", "missing field")
    words = words[:1].lower() + words[1:]
    return f"{field}: {words}" if field else words
