"""``tcnat replay``: a packet capture through the real programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from tcnat.cli.options import ManyValues, split_commas
from tcnat.errors import TcnatError
from tcnat.layout import Choice
from tcnat.replay import junit, world
from tcnat.replay.capture import Capture, CaptureError
from tcnat.replay.compare import Comparison, Result
from tcnat.replay.datapath import KernelDatapath
from tcnat.replay.engine import Engine
from tcnat.replay.formats import open_capture
from tcnat.replay.output import CaptureWriter
from tcnat.replay.report import REPORTS, Outcome, Report
from tcnat.replay.run import Audience, run
from tcnat.replay.runner import Through, choose, programs_of
from tcnat.replay.side import ClientNetworks, FindSides, SeenClients, Side, always, parse_network
from tcnat.replay.summary import Summary
from tcnat.replay.veth import VethRunner
from tcnat.settings import Settings

DIFFERENT, NOT_DONE = 1, 3
"""Exit codes: what leaves is not as expected; the replay could not be done (objects, rights, kernel, a full disk)."""

EPILOG = """\b
Examples:
  tcnat replay client.pcap --objects cluster.yaml
  tcnat replay node.pcapng --objects cluster.yaml --client 10.244.1.0/24 --out after.pcapng -o json
  tcnat replay web.pcap --objects cluster.yaml --expect web.golden.pcap --junit replay.xml -o summary

\b
Exit codes: 0 done, and as expected; 1 differences from --expect; 2 a capture
that cannot be read to its end, or a wrong option; 3 it could not be done.
"""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    capture: Path
    objects: tuple[str, ...]
    clients: tuple[str, ...]
    direction: str | None
    out: Path | None
    expect: Path | None
    junit: Path | None
    output: str
    differences: int
    node_name: str
    node_zone: str
    settings: Settings
    through: Through


@click.command(cls=ManyValues, epilog=EPILOG)
@click.argument("capture", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--objects",
    multiple=True,
    required=True,
    metavar="FILE...",
    help="Services, EndpointSlices, Endpoints and Nodes, as kubectl prints them; directories and - too.",
)
@click.option(
    "--client",
    "clients",
    multiple=True,
    callback=split_commas,
    metavar="CIDR...",
    help="Clients' addresses: packets from them meet tc_egress, packets to them tc_ingress, others none. "
    "[default: every address that has sent to a Service address so far]",
)
@click.option(
    "--direction", type=click.Choice([each.value for each in Side]), help="The one program that every packet meets."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write what leaves, in the same format.")
@click.option(
    "--expect",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Compare what leaves with this capture; differences are shown, and end in exit code 1.",
)
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write the outcome as JUnit XML.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(list(REPORTS)),
    default="table",
    show_default=True,
    help="A line for each packet, JSON lines, or the sums alone.",
)
@click.option("--differences", type=click.IntRange(0), default=10, show_default=True, help="How many are shown.")
@click.option("--node-name", default="", help="The node that the capture is of.")
@click.option("--node-zone", default="", help="Its zone. [default: that of its Node object]")
@click.option(
    "--unknown-port",
    type=click.Choice(["pass", "reject", "drop"]),
    default="pass",
    show_default=True,
    help="What becomes of a packet to a Service address that has no such port.",
)
@click.option(
    "--echo",
    type=click.Choice(["answer", "drop", "pass"]),
    default="answer",
    show_default=True,
    help="What becomes of an ICMP echo request to a Service address.",
)
@click.option(
    "--through",
    type=click.Choice([each.value for each in Through]),
    default=Through.AUTO.value,
    show_default=True,
    help="How packets reach the programs: BPF_PROG_TEST_RUN, or a veth pair where the kernel has it not.",
)
def command(*, unknown_port: str, echo: str, through: str, **given: object) -> int:
    """Run a packet capture through the real programs, and tell what becomes of each packet.

    CAPTURE is pcap or pcapng (- for standard input), compressed by gzip or not; Ethernet, raw IP or Linux cooked.
    Packets run in order; the programs' clock follows the capture's time stamps. Needs root.
    """
    settings = Settings(unknown_port=Choice[unknown_port.upper()], echo=Choice[echo.upper()])
    request = Request(settings=settings, through=Through(through), **given)  # type: ignore[arg-type]
    _check(request)
    with _apart_from_differences():
        return _replay(request)


def _check(request: Request) -> None:
    if request.clients and request.direction:
        raise click.UsageError("--client and --direction exclude each other")
    if str(request.capture) == "-" and "-" in request.objects:
        raise click.UsageError("standard input cannot be both CAPTURE and --objects")
    for other in (request.capture, request.expect):
        if request.out and other and request.out.exists() and other.exists() and request.out.samefile(other):
            raise click.UsageError(f"--out {request.out} would overwrite what is read")


def _replay(request: Request) -> int:
    start = time.monotonic()
    with ExitStack() as stack:
        capture = stack.enter_context(open_capture(request.capture))
        golden = stack.enter_context(open_capture(request.expect)) if request.expect else None
        front_ends = world.read_front_ends(request.objects, request.node_name, request.node_zone)
        engine = _engine(request, front_ends)
        writer = stack.enter_context(CaptureWriter(request.out, capture.encode)) if request.out else None
        report = _report(request.output)
        comparison = Comparison(golden, request.differences) if golden else None
        progress = stack.enter_context(_progress(capture, request.output))
        summary, broken = run(capture, engine, Audience(report, writer, comparison, progress))
        result = comparison.result() if comparison else None
    outcome = Outcome(summary, str(request.expect or ""), result, _in_words(result, summary, front_ends, request))
    report.finish(outcome)
    broken = broken or (result.broken if result else None)
    if request.junit:
        _write_junit(request, outcome, broken, time.monotonic() - start)
    if broken is not None:
        raise broken
    return DIFFERENT if result and result.differences else 0


def _engine(request: Request, front_ends: world.FrontEnds) -> Engine:
    made = world.load(front_ends, request.settings)
    runner = choose(programs_of(made.loaded), request.through, lambda: VethRunner(made.loaded))
    datapath = KernelDatapath(made.loaded, runner, made.sweepers)
    return Engine(datapath, _sides(request, front_ends), world.services_of(front_ends))


def _sides(request: Request, front_ends: world.FrontEnds) -> FindSides:
    if request.direction:
        return always(Side(request.direction))
    if request.clients:
        return ClientNetworks(parse_network(text) for text in request.clients)
    return SeenClients({key.address for key in front_ends})


@contextmanager
def _apart_from_differences() -> Iterator[None]:
    """Errors have an exit code of their own, so that a CI job can tell them from differences."""
    try:
        yield
    except TcnatError as error:
        if error.exit_code != TcnatError.exit_code:
            raise
        raise TcnatError(str(error), exit_code=NOT_DONE) from None


def _report(output: str) -> Report:
    stream = sys.stdout
    return REPORTS[output](lambda line: stream.write(f"{line}\n"))


@contextmanager
def _progress(capture: Capture, output: str) -> Iterator[Callable[[int], None] | None]:
    """A bar on a terminal that nothing else is written to meanwhile."""
    size = capture.source.size
    free = output == "summary" or not sys.stdout.isatty()
    if not size or not free or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=size, file=sys.stderr, label=capture.source.name) as bar:

        def show(position: int) -> None:
            bar.update(position - bar.pos)

        yield show
        show(size)


def _in_words(
    result: Result | None, summary: Summary, front_ends: world.FrontEnds, request: Request
) -> tuple[str, ...]:
    if result is None or not result.first:
        return ()
    from tcnat.replay import fields  # noqa: PLC0415 - scapy takes a second to import; only differences need it

    names = world.names_of(front_ends.values())
    return tuple(fields.explain(each, str(request.expect), summary.first, names) for each in result.first)


def _write_junit(request: Request, outcome: Outcome, broken: CaptureError | None, seconds: float) -> None:
    assert request.junit is not None
    cases = [junit.Case(f"{request.capture} can be read to its end", error=str(broken) if broken else None)]
    if outcome.result is not None:
        differs = outcome.result.differences > 0
        failure = "\n\n".join([outcome.verdict(), *outcome.words]) if differs else None
        cases.append(junit.Case(f"what leaves is as in {outcome.golden}", failure=failure))
    lines: list[str] = []
    REPORTS["summary"](lines.append).finish(Outcome(outcome.summary))
    junit.write(request.junit, f"tcnat replay {request.capture.name}", cases, seconds, "\n".join(lines))
