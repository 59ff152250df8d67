"""``make bench-report``: draw what a run left behind."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..results import REPORT, read
from .outcome import Outcome
from .page import Report, report

BEGIN, END = "<!-- bench:begin", "<!-- bench:end -->"
DIRECTORY = Path("bench/report")


@click.command()
@click.argument("results", type=click.Path(path_type=Path), default=REPORT)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=DIRECTORY, show_default=True)
@click.option("--readme", type=click.Path(path_type=Path), help="A file whose block bench:begin…bench:end is renewed.")
def main(results: Path, output: Path, readme: Path | None) -> None:
    """Make the report of RESULTS (build/bench.json): a page, the same as Markdown, and the pictures."""
    found = read(results)
    if not found.series and not found.figures:
        raise click.ClickException(f"{results} holds no measurements; `make bench` makes them")
    folder = os.path.relpath(output, readme.parent) if readme else str(output)
    made = report(Outcome(found), Path(folder).as_posix())
    try:
        if readme:
            renew(readme, made)
        put(made, output)
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    click.echo(f"{output}/index.html: {len(made.files) - 2} pictures, of {len(found.series)} series")


def put(made: Report, output: Path) -> None:
    """Write the report's files, and remove pictures of an earlier report that this one has not."""
    output.mkdir(parents=True, exist_ok=True)
    for path in output.glob("*.svg"):
        if path.name not in made.files and f'id="{path.stem}-figure_1"' in path.read_text():
            path.unlink()
    for name, text in made.files.items():
        (output / name).write_text(text)


def renew(readme: Path, made: Report) -> None:
    """Put the block between the two comments; nothing without a measure for it. ClickException without the comments."""
    if made.readme is None:
        return
    text = readme.read_text()
    start = text.find(BEGIN)
    end = text.find(END, start)
    first = text.find("-->\n", start) + len("-->\n")
    if start < 0 or not start < first <= end:
        raise click.ClickException(f"{readme} has no place for it: the lines `{BEGIN} -->` and `{END}`")
    readme.write_text(text[:first] + made.readme + text[end:])


if __name__ == "__main__":
    main(prog_name="python -m bench.drawing")
