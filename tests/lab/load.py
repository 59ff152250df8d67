"""Requests with curl and dig: many at a time, and a stream of them that goes on while things change."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Self

from tcnat.layout import Family

from .addresses import Addresses
from .namespace import Namespace
from .servers import NAME

FAILED = "failed"
"""What a request counts as that did not get a right answer."""


def web_requests(host: Namespace, to: Addresses, family: Family, port: int, count: int) -> Counter[str]:
    """Ask a web server with curl, each time over a new connection; how often who answered."""
    url = to.url(family, port, f"/?[1-{count}]")
    output = host.run("curl", "-sS", "--fail-early", "--max-time", "5", "-H", "Connection: close", url, check=False)
    return _count(output.split(), count)


def dns_requests(host: Namespace, to: Addresses, family: Family, port: int, count: int) -> Counter[str]:
    """Ask a DNS server with dig over UDP, each time from a new port; how often who answered."""
    query = f"@{to.of(family)} -p {port} {NAME} TXT +short +tries=1 +time=5\n"
    output = host.run("dig", "-f", "-", text=query * count, check=False)
    return _count([line.strip('"') for line in output.splitlines() if line.startswith('"')], count)


def _count(answers: list[str], asked: int) -> Counter[str]:
    counted = Counter(answer for answer in answers if answer.startswith("backend"))
    if missing := asked - counted.total():
        counted[FAILED] = missing
    return counted


class Stream:
    """Asks without pause, in as many threads as there are questions, between entering and leaving ``with``.

    ``phases`` counts the answers by the phase in which they were asked for and came; those for which these are not
    the same count for the phase "".
    """

    def __init__(self, questions: list[Callable[[], Counter[str]]]) -> None:
        self.phases: dict[str, Counter[str]] = defaultdict(Counter)
        self._phase = ""
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(question,)) for question in questions]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def phase(self, name: str, seconds: float) -> None:
        """Ask for that long under a name of its own."""
        self._set(name)
        time.sleep(seconds)

    def between(self) -> None:
        """What is asked from now on belongs to no phase, until the next begins."""
        self._set("")

    def _set(self, name: str) -> None:
        with self._lock:
            self._phase = name

    def _ask(self, question: Callable[[], Counter[str]]) -> None:
        while not self._end.is_set():
            before = self._phase
            answers = question()
            with self._lock:
                self.phases[before if before == self._phase else ""] += answers
