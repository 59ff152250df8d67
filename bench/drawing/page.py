"""The report's words, from templates: the page for a browser, the Markdown for a forge, the block in the README."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..marks import Said
from ..series import NO_PROXY, Measure, Series
from .chapters import bare, chapters
from .looks import KNOWN, ONCE
from .outcome import Outcome
from .panels import Lines
from .pictures import Picture, lines
from .tables import Row, judged, of_runs, ratios
from .wording import NOT_MEASURED

TITLE = "tcnat beside its peers"
HEADLINE = "requests"
"""The picture of the README."""
SIGNS = {Said.REACHED: "✓", Said.MISSED: "✗", Said.UNDECIDED: "?", Said.NOT_MEASURED: "–"}
LEAD = "tcnat’s lead is above 1 where tcnat is better, be the figure a rate or a time."
JUDGING = (
    "A mark is reached or missed when the whole interval of its ratio is on one side of it, and undecided when it lies "
    "within or when there are too few runs; how sure an interval is stands with it. Single figures are judged by their "
    "median."
)


@dataclass(frozen=True, slots=True)
class Report:
    """``files``: what goes into the report's directory, by name. ``readme``: the README's block; None where there is no
    measure for it."""

    files: dict[str, str]
    readme: str | None


def report(outcome: Outcome, folder: str) -> Report:
    """All of it. ``folder``: where the report is, seen from the README."""
    content = chapters(outcome)
    verdicts = judged(outcome)
    counted = Counter(each.said for each in verdicts)
    values = {
        "title": TITLE,
        "words": f"{_words(outcome, _compared(outcome))} {LEAD}",
        "missing": _missing(outcome),
        "judged": verdicts,
        "tally": ", ".join(f"{counted[said]} {said}" for said in Said if counted[said]).capitalize() + ".",
        "judging": JUDGING,
        "signs": SIGNS,
        "chapters": content,
        "machine": sorted_machine(outcome.results.machine),
    }
    pictures = [picture for chapter in content for picture in chapter.pictures]
    files = {f"{picture.name}.svg": picture.svg for picture in pictures}
    block = None
    if headline := _headline(outcome):
        measure, picture = headline
        files[f"{picture.name}.svg"] = picture.svg
        block = _block(outcome, measure, picture, folder)
    files["index.html"] = _environment(True).get_template("page.html.j2").render(values)
    files["README.md"] = _environment(False).get_template("report.md.j2").render(values)
    return Report(files, block)


def _environment(escape: bool) -> Environment:
    templates = FileSystemLoader(Path(__file__).with_name("templates"))
    made = Environment(
        loader=templates, autoescape=escape, undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=False
    )
    made.filters["cell"] = lambda text: re.sub(r"([|*_<>`])", r"\\\1", str(text))
    return made


def _words(outcome: Outcome, series: Iterable[Series]) -> str:
    """What the figures of these series are, how many runs there were of each, and where."""
    counts = sorted({len(each.runs) for each in series if each.runs})
    runs = f"{'up to ' if len(counts) > 1 else ''}{of_runs(counts[-1])}" if counts else "no runs"
    machine = outcome.results.machine
    said = (("{}", "cpu"), ("{} cores", "cores"), ("Linux {}", "kernel"), ("{}", "date"))
    where = ", ".join(words.format(machine[name]) for words, name in said if name in machine)
    return (
        f"Medians of {runs}, in which all peers took turns; ratios are those of runs made side by side, with the "
        f"least and the greatest. Measured on {where or 'a machine that is not named'}."
    )


def _compared(outcome: Outcome) -> list[Series]:
    """The series that have one of no proxy beside them, or all where none has."""
    beside = {each.measure for each in outcome.results.series if each.peer == NO_PROXY}
    return [each for each in outcome.results.series if each.measure in beside] or outcome.results.series


def _missing(outcome: Outcome) -> list[str]:
    """Peers that the bench knows and these results do not."""
    absent = [peer for peer in KNOWN if peer not in outcome.everyone]
    return [f"Not in these results: {', '.join(absent)}."] if absent and outcome.everyone else []


def sorted_machine(machine: dict[str, str]) -> list[tuple[str, str]]:
    """What it was measured on first, then versions by name."""
    first = [name for name in ("date", "cpu", "cores", "memory", "kernel", "tcnat") if name in machine]
    return [(name, machine[name]) for name in (*first, *sorted(set(machine) - set(first)))]


def _headline(outcome: Outcome) -> tuple[Measure, Picture] | None:
    """Requests per second against the number of Services, for the README; the first measure of requests is meant."""
    for measure in outcome.results.measures:
        if (
            measure.unit == "requests/s"
            and not measure.key.startswith("vm_")
            and NO_PROXY in outcome.peers(measure)
            and len(outcome.sizes(measure)) > 1
        ):
            panel = Lines(measure, bare(measure), "requests/s ÷ no proxy", lambda cell: cell.to_limit, True, named=True)
            alt = f"{bare(measure)}: requests per second ÷ no proxy, against the number of Services, a line for a peer."
            picture = lines(HEADLINE, alt, "", [panel], outcome)
            return (measure, picture) if picture else None
    return None


def _block(outcome: Outcome, measure: Measure, picture: Picture, folder: str) -> str:
    sizes = outcome.sizes(measure)
    own = [each for each in outcome.results.series if each.measure == measure.key]
    rows = []
    for peer in outcome.peers(measure):
        if peer in ONCE:
            continue
        cells = [outcome.cell(measure, peer, size) for size in sizes]
        texts = tuple(
            ratios(cell.to_limit) if cell and cell.to_limit else (cell and cell.note) or NOT_MEASURED for cell in cells
        )
        if peer == NO_PROXY:
            texts = ("1",) * len(sizes)
        rows.append(Row("", peer, texts, ours=peer == "tcnat"))
    values = {"picture": picture, "folder": folder, "title": bare(measure), "rows": rows,
              "sizes": [f"{size:,}" for size in sizes], "words": _words(outcome, own)}  # fmt: skip
    block: str = _environment(False).get_template("readme.md.j2").render(values)
    return block
