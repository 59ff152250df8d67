"""docs/maps.md says of each map what the layout says."""

from __future__ import annotations

import re
from pathlib import Path

from tcnat.layout import MAPS, Family, MapLayout

TEXT = (Path(__file__).parents[2] / "docs" / "maps.md").read_text()
ROW = re.compile(r"^\| \[(\w+)\]\(#\w+\) \| (\w+) \| ([\d /]+) \| ([\d /]+) \| (\d+) \|", re.MULTILINE)


def sizes(ipv4: int, ipv6: int) -> str:
    return str(ipv4) if ipv4 == ipv6 else f"{ipv4} / {ipv6}"


def row(layout: MapLayout) -> tuple[str, ...]:
    keys = sizes(*(layout.key_size(family) for family in Family))
    values = sizes(*(layout.value_size(family) for family in Family))
    return layout.name, layout.type.name.lower(), keys, values, str(layout.entries)


def test_the_table_is_the_layout() -> None:
    assert ROW.findall(TEXT) == [row(layout) for layout in MAPS.values()]


def test_every_map_has_its_section() -> None:
    sections = re.findall(r"^## (\w+)$", TEXT, re.MULTILINE)
    assert [section for section in sections if section not in {"Layouts", "Names"}] == list(MAPS)
