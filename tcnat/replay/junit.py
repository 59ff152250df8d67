"""The outcome as a JUnit file, as GitHub, GitLab and Jenkins read it (schema of the Ant task and Jenkins' xunit)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from tcnat.errors import TcnatError


class Case(NamedTuple):
    """One thing that was checked; ``failure`` and ``error`` are texts whose first line is the message."""

    name: str
    failure: str | None = None
    error: str | None = None


def write(path: Path, suite: str, cases: list[Case], seconds: float, output: str) -> None:
    """Write one suite; ``output`` is shown with it. TcnatError if the file cannot be written."""
    root = ElementTree.Element(
        "testsuite",
        name=suite,
        tests=str(len(cases)),
        failures=str(sum(case.failure is not None for case in cases)),
        errors=str(sum(case.error is not None for case in cases)),
        time=f"{seconds:.3f}",
    )
    for case in cases:
        element = ElementTree.SubElement(root, "testcase", classname="tcnat.replay", name=case.name)
        for kind, text in (("failure", case.failure), ("error", case.error)):
            if text is not None:
                ElementTree.SubElement(element, kind, message=text.partition("\n")[0]).text = _printable(text)
    ElementTree.SubElement(root, "system-out").text = _printable(output)
    suites = ElementTree.Element("testsuites")
    suites.append(root)
    ElementTree.indent(suites)
    try:
        ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise TcnatError(f"--junit {path}: cannot be written: {error.strerror}") from None


def _printable(text: str) -> str:
    """Without the control characters that XML 1.0 cannot hold."""
    return "".join(c for c in text if c in "\n\t" or ord(c) >= 32)
