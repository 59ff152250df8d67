"""Runs in the guest: peers and their API server, few connections, alternating runs. Each number of Services leaves a
line on the console that holds its results.
"""

from __future__ import annotations

import base64
import os
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from bench.comparison import compared, without_runs
from bench.loads.http import HTTP_SHORT_FEW
from bench.peers.kubeproxy import IPVS, LEGACY, NFT
from bench.peers.lineup import LineUp
from bench.peers.nftables import NFTABLES
from bench.peers.tcnat import TCNAT_NAME
from bench.plans import Work
from bench.results import Results
from bench.series import NO_PROXY
from tests.lab.commands import run
from tests.vm.guest.suite import MARK

MODULES = ("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "nf_conntrack")
PEERS = (NO_PROXY, TCNAT_NAME, LEGACY, NFT, NFTABLES, IPVS)
NOT_WITH_MANY = (LEGACY, NFT, NFTABLES)
"""Left out with many Services: the machine itself has them, and what they load in seconds there takes minutes here."""
MANY = 1000
_TAIL = 2000
"""Characters of a log that are shown of a peer that was too slow."""
_LINE = "results of the guest: "


def line(results: Results) -> str:
    """Results as one line that a serial console does not spoil, or not unnoticed."""
    packed = zlib.compress(msgspec.json.encode(results.as_dict()), 9)
    return _LINE + base64.b64encode(packed).decode()


def lines(console: str) -> Iterator[Results]:
    """The results that the guest left on its console."""
    for each in console.splitlines():
        before, mark, packed = each.partition(_LINE)
        if mark and not before.strip():
            yield msgspec.json.decode(zlib.decompress(base64.b64decode(packed)), type=Results)


@click.command()
@click.option("--services", type=int, multiple=True, required=True, help="Numbers of Services, one after the other.")
@click.option("--rounds", type=int, required=True)
@click.option("--seconds", type=float, required=True, help="Of each run.")
@click.option("--peer", "peers", multiple=True, default=PEERS, help="Those alone.")
@click.option("--patience", type=float, required=True, help="Seconds that peers may take to load their Services.")
def main(services: tuple[int, ...], rounds: int, seconds: float, peers: tuple[str, ...], patience: float) -> None:
    """Compare the peers in a guest of tests.vm."""
    with open("/proc/cmdline") as file:
        if MARK not in file.read().split():
            sys.exit("this is not a guest of tests/vm; nothing done")
    for module in MODULES:
        run(["modprobe", module])
    os.environ["GOGC"] = "400"  # of all that is written in Go: collecting garbage takes an emulated machine long
    _names_from_files()
    work = Work(HTTP_SHORT_FEW, rounds, seconds)
    _tell("making the nodes")
    with LineUp(cluster=True, ipvs=True, only=peers) as lineup:
        _tell("starting the API server")
        lineup.resize(services[0])
        for count in services:
            without = NOT_WITH_MANY if count >= MANY else ()
            _tell(f"{count:,} Services: loading")
            with lineup.at_work(count, patience, without) as at_work:
                for stand in at_work.stands:
                    _tell(f"{stand.name}: {stand.proxy.loading}")
                for slow in at_work.too_slow:
                    _tell(f"{slow}; the end of what it said:\n{_last_words(lineup, slow.peer)}")
                series = compared([work], at_work.stands, count, _tell)
            series += [each for slow in at_work.too_slow for each in without_runs([work], slow.peer, count, str(slow))]
            print(line(Results(measures=list(HTTP_SHORT_FEW.measures), series=series)), flush=True)


def _names_from_files() -> None:
    """Have names of protocols looked up in /etc/protocols alone. Debian's nsswitch.conf(5) has a database asked first,
    for which the C library looks in dozens of directories that are not there, each time that ipset is run."""
    plain = Path("/run/nsswitch.conf")
    plain.write_text("".join(f"{kind}: files\n" for kind in ("passwd", "group", "hosts", "protocols", "services")))
    run(["mount", "--bind", plain, "/etc/nsswitch.conf"])


def _last_words(lineup: LineUp, peer: str) -> str:
    logs = sorted(lineup.lab.places[peer].ground.directory.glob("*.log"))
    return "".join(log.read_text(errors="replace")[-_TAIL:] for log in logs)


def _tell(words: str) -> None:
    print(f"{time.monotonic():5.0f} s: {words}", flush=True)


if __name__ == "__main__":
    main()
