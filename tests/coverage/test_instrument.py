"""Marks do not change what the C says: a compiler's view of it, by hand."""

from __future__ import annotations

import re

import pytest

from tests.coverage.instrument import mark

MARK = re.compile(r" \{ __u32 mark_key = (\d+);[^}]*\} ")


def marked(text: str) -> str:
    """The text with its marks as ``<number>``."""
    return MARK.sub(r"<\1>", mark(text, "x.h", 0).text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if (a) b();\n", "if (a) {<0>b();} else {<1>}\n"),
        ("if (a) { b(); }\n", "if (a) {<0>{ b(); }} else {<1>}\n"),
        ("if (a) b(); else c();\n", "if (a) {<0>b();} else {<1>c();}\n"),
        (
            "if (a) b(); else if (c) d();\n",
            "if (a) {<0>b();} else {<1>if (c) {<2>d();} else {<3>}}\n",
        ),
        ("if (a) if (b) c();\n", "if (a) {<0>if (b) {<2>c();} else {<3>}} else {<1>}\n"),
        ("if (f(a, (b)))\n    return g(c, d);\n", "if (f(a, (b)))\n    {<0>return g(c, d);} else {<1>}\n"),
        ("for (i = 0; i < 3; i++) if (a) b();\n", "for (i = 0; i < 3; i++) if (a) {<0>b();} else {<1>}\n"),
        ("/* if (a) */ #x\n#if FAMILY == 4\nb();\n#endif\n", "/* if (a) */ #x\n#if FAMILY == 4\nb();\n#endif\n"),
        ('print("if (a) {");\n', 'print("if (a) {");\n'),
    ],
)
def test_marks_go_into_both_ways(text: str, expected: str) -> None:
    assert marked(text) == expected


def test_a_branch_is_told_by_its_line_and_condition() -> None:
    branches = mark("\n\nif (a &&\n    b)\n    c();\n", "x.h", 7).branches
    assert [str(branch) for branch in branches] == [
        "bpf/x.h:3: if (a && b) is true",
        "bpf/x.h:3: if (a && b) is false",
    ]


def test_lines_stay_where_they_are() -> None:
    text = "if (a)\n    b();\nelse {\n    c();\n}\n"
    assert mark(text, "x.h", 0).text.count("\n") == text.count("\n")
