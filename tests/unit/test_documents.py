"""What the documents name is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
DOCUMENTS = [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md")]
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_PATH = re.compile(r"`((?:bpf|tcnat|tests|docs|scripts|bench|deploy)/[\w./-]*)`")


def named(document: Path) -> Iterator[Path]:
    text = document.read_text()
    for link in _LINK.findall(text):
        yield document.parent / link
    for path in _PATH.findall(text):
        yield CHECKOUT / path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    assert [str(path) for path in named(document) if not path.exists()] == []
