"""``tcnat check``: what :mod:`tcnat.check` found, for people and for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tcnat.cli.options import output_option
from tcnat.loader import DEFAULT_PINS
from tcnat.tables import Output, document, table

if TYPE_CHECKING:
    from tcnat.check import Finding, Report


@click.command("check")
@output_option
@click.option(
    "--pin-path",
    type=click.Path(path_type=Path),
    default=DEFAULT_PINS,
    show_default=True,
    help="Where the datapath is pinned.",
)
def command(output: str, pin_path: Path) -> int:
    """Probe what this kernel can do, and say what is missing.

    Each feature is tried, whatever the kernel's version says, and nothing is left behind. Ends with 0 if the datapath
    can run here, else with 1.

    \b
    Examples:
      tcnat check
      tcnat check -o wide         with what each lack means, and what to do
      tcnat check -o json
    """
    from tcnat.check import Floor, check  # noqa: PLC0415  (--help does without it)

    report = check(pin_path)
    click.echo(shown(report, Output(output)))
    return int(report.verdict.floor is Floor.NONE)


def shown(report: Report, output: Output) -> str:
    """The report in that format."""
    if output in {Output.JSON, Output.YAML}:
        return document(plain(report), output)
    wide = output is Output.WIDE
    headings = (
        "GROUP",
        "FEATURE",
        *(("NEED",) if wide else ()),
        "STATE",
        "DETAIL",
        *(("MEANING", "TODO") if wide else ()),
    )
    rows = [_row(finding, wide=wide) for finding in report.findings]
    advice = [] if wide else [_advice(finding) for finding in report.findings if finding.lacking]
    system = f"tcnat {report.tcnat}, Linux {report.kernel} {report.architecture}, {report.system or 'unknown system'}"
    return "\n".join((table(headings, rows), "", *advice, system, report.verdict.line))


def plain(report: Report) -> dict[str, Any]:
    """The report as JSON and YAML have it."""
    return {
        "tcnat": report.tcnat,
        "kernel": report.kernel,
        "architecture": report.architecture,
        "system": report.system,
        "floor": str(report.verdict.floor),
        "summary": report.verdict.line,
        "features": [
            {
                "group": finding.feature.group,
                "name": finding.feature.name,
                "need": str(finding.feature.need),
                "state": str(finding.state),
                "detail": finding.detail,
                "meaning": finding.feature.meaning if finding.lacking else "",
                "todo": finding.feature.remedy if finding.lacking else "",
            }
            for finding in report.findings
        ],
    }


def _row(finding: Finding, *, wide: bool) -> list[str]:
    feature = finding.feature
    if not wide:
        return [feature.group, feature.name, finding.word, finding.detail]
    lack = [feature.meaning, feature.remedy] if finding.lacking else ["", ""]
    return [feature.group, feature.name, str(feature.need), finding.word, finding.detail, *lack]


def _advice(finding: Finding) -> str:
    feature = finding.feature
    todo = f" To do: {feature.remedy}." if feature.remedy else ""
    return f"{feature.name} is missing: {feature.meaning}.{todo}"
