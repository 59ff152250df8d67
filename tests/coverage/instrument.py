"""Marks in C: a piece of text in, the same with a counter in both ways of every ``if``, on the same lines, out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

COUNT = " {{ __u32 mark_key = {number}; __u32 *mark = coverage.lookup(&mark_key); if (mark) *mark += 1; }} "
_OPAQUE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|^[ \t]*#(?:[^\n\\]|\\\n|\\.)*', re.DOTALL | re.MULTILINE)
_IF = re.compile(r"\bif\b")
_WORD = re.compile(r"\w+")
_LOOP = frozenset({"for", "while"})


@dataclass(frozen=True, slots=True, order=True)
class Branch:
    """One way of an ``if``."""

    file: str
    line: int
    condition: str
    taken: bool

    def __str__(self) -> str:
        return f"bpf/{self.file}:{self.line}: if ({self.condition}) is {'true' if self.taken else 'false'}"


@dataclass(slots=True)
class Marked:
    """C with marks. The number of a branch is its place in ``branches``."""

    text: str
    branches: list[Branch] = field(default_factory=list)


def mark(text: str, file: str, first: int) -> Marked:
    """Mark every ``if`` of a file; ``first`` is the first mark's number."""
    mask = _OPAQUE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    branches: list[Branch] = []
    edits: list[Edit] = []
    for found in _IF.finditer(mask):
        opening = mask.index("(", found.end())
        closing = matching(mask, opening)
        condition = " ".join(text[opening + 1 : closing - 1].split())
        line = text.count("\n", 0, found.start()) + 1
        outer = len(branches)
        counts = [COUNT.format(number=first + outer + each) for each in range(2)]
        branches += [Branch(file, line, condition, taken) for taken in (True, False)]
        start = skip_space(mask, closing)
        end = statement_end(mask, start)
        edits += [Edit(start, OPENING, outer, "{" + counts[0]), Edit(end, CLOSING, -outer, "}")]
        otherwise = skip_space(mask, end)
        if mask.startswith("else", otherwise):
            start = skip_space(mask, otherwise + len("else"))
            end = statement_end(mask, start)
            edits += [Edit(start, OPENING, outer, "{" + counts[1]), Edit(end, CLOSING, -outer, "}")]
        else:
            edits.append(Edit(end, CLOSING, -outer, f" else {{{counts[1]}}}"))
    return Marked(edited(text, edits), branches)


CLOSING, OPENING = 0, 1


class Edit(NamedTuple):
    """A piece to put in. At one place closings come before openings, an inner closing and outer opening first."""

    at: int
    kind: int
    order: int
    piece: str


def edited(text: str, edits: list[Edit]) -> str:
    """The text with pieces put in; those of one place and order stay in theirs."""
    pieces = []
    last = 0
    for edit in sorted(edits, key=lambda edit: edit[:3]):
        pieces += [text[last : edit.at], edit.piece]
        last = edit.at
    return "".join(pieces) + text[last:]


def skip_space(mask: str, at: int) -> int:
    """The next place with a character."""
    while mask[at : at + 1].isspace():
        at += 1
    return at


def matching(mask: str, at: int) -> int:
    """The place behind what closes the bracket at a place."""
    depth = 0
    pairs = {"(": 1, "{": 1, ")": -1, "}": -1}
    while True:
        depth += pairs.get(mask[at], 0)
        at += 1
        if depth == 0:
            return at


def statement_end(mask: str, at: int) -> int:
    """The place behind the statement that begins at a place."""
    at = skip_space(mask, at)
    if mask[at] == "{":
        return matching(mask, at)
    word = _WORD.match(mask, at)
    if word and word[0] in _LOOP:
        return statement_end(mask, matching(mask, mask.index("(", at)))
    if word and word[0] == "if":
        end = statement_end(mask, matching(mask, mask.index("(", at)))
        otherwise = skip_space(mask, end)
        return statement_end(mask, otherwise + len("else")) if mask.startswith("else", otherwise) else end
    depth = 0
    while mask[at] != ";" or depth:
        depth += {"(": 1, ")": -1}.get(mask[at], 0)
        at += 1
    return at + 1
