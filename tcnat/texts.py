"""Splits text into JSON or YAML documents, and says where it is broken. Knows nothing of what they hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import yaml

DEEPEST = 2000
"""Lists within lists within lists … of YAML that are not read."""


class Broken(NamedTuple):
    """A piece of text that is no document."""

    place: str
    """``:LINE:COLUMN``, or "" where that is not known."""
    message: str


def looks_like_json(data: bytes) -> bool:
    """A brace and then a quote or brace: text that YAML would read much more slowly, to the same end.

    Not so where there are marks between documents, which only YAML has.
    """
    return re.match(rb'\s*\{\s*["}]', data) is not None and b"\n---" not in data


def json_documents(data: bytes) -> Iterator[msgspec.Raw | bytes | Broken]:
    """JSON documents, undecoded, one after another; what follows a broken one cannot be told apart."""
    try:
        yield msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        yield from _json_sequence(data)


def _json_sequence(data: bytes) -> Iterator[bytes | Broken]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        yield Broken("", f"not UTF-8 at byte {error.start}")
        return
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        try:
            _, end = decoder.raw_decode(text, at)
        except RecursionError:
            yield Broken("", "not JSON: nested too deeply")
            return
        except json.JSONDecodeError as error:
            yield Broken(f":{error.lineno}:{error.colno}", f"not JSON: {error.msg.lower()}")
            return
        yield text[at:end].encode()
        at = end + len(text[end:]) - len(text[end:].lstrip())


def yaml_documents(data: bytes) -> Iterator[Any]:
    """What the documents of a YAML stream hold, or :class:`Broken`; empty ones are left out.

    Each is parsed by itself, so that a broken one holds up no other.
    """
    line = 0
    for part in re.split(rb"(?m)^(?=---(?:\s|$))", data):
        for document in _yaml_part(part, line):
            if document is not None:
                yield document
        line += part.count(b"\n")


class _Loader(yaml.CSafeLoader):
    """Reads dates as text, and no numbers with a base of 60: ``20:1`` is text."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, re.compile(r"(?:0|[-+]?[1-9][0-9]*)$") if tag.endswith(":int") else pattern)
        for tag, pattern in resolvers
        if not tag.endswith((":timestamp", ":float"))
    ]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _yaml_part(part: bytes, first_line: int) -> list[Any]:
    if _nested_too_deeply(part):
        return [Broken("", "not YAML: nested too deeply")]
    try:
        return list(yaml.load_all(part, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{first_line + mark.line + 1}:{mark.column + 1}" if mark else ""
        return [Broken(place, f"not YAML: {error.problem or error.context}")]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [Broken("", "not YAML: " + " ".join(str(error).split()))]


def _nested_too_deeply(part: bytes) -> bool:
    """Whether reading it would exhaust libyaml's stack, which ends the process."""
    if part.count(b"[") + part.count(b"{") + part.count(b"- -") < DEEPEST:
        return False
    depth = deepest = 0
    for bracket in re.findall(rb"[\[{}\]]", part):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest >= DEEPEST or re.search(rb"(?:- +){%d}" % DEEPEST, part) is not None
