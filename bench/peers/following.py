"""How soon traffic follows a change of endpoints, and what is lost while backends restart one after the other."""

from __future__ import annotations

import itertools
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab.nodes import Pod
from tests.lab.site import Host

from .services import WEB
from .stand import Stand, Target

ANSWER_SECONDS = 1.0
"""A request that has no answer by then has failed: its SYN was lost, as the kernel sends the next after a second."""
CHANGE_SECONDS = 60.0
"""What a change may take to be followed."""
LONE = 1.2
"""Seconds between changes: more than the least time between syncs, 1 s with all of them."""
IN_TURN = 40
"""Answers of one backend, in turn, by which it serves alone."""
_PAUSE = 0.0005
_REQUEST = b"GET / HTTP/1.0\r\n\r\n"
GRACE = 2.0
"""Seconds from the moment at which a backend is taken out to the one at which its server takes no more connections, and
from there to the one at which it cuts off those that are still open."""
REST = 1.5
RATE, WORKERS = 50, 16


def answer(client: Host, target: Target, seconds: float = ANSWER_SECONDS) -> str:
    """Who answers a request of the client's over a new connection. OSError where nobody does."""
    with client.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.settimeout(seconds)
        one.connect((target.address, target.port))
        one.sendall(_REQUEST)
        said = b""
        while part := one.recv(4096):
            said += part
    head, _, body = said.partition(b"\r\n\r\n")
    if not body or b" 200 " not in head:
        raise ConnectionError(f"the answer was cut off: {said[:100]!r}")
    return body.decode().strip()


@dataclass(frozen=True, slots=True)
class Changes:
    """Milliseconds that each change took until traffic followed it, and why there are no more; "" where all were
    made."""

    taken: tuple[float, ...]
    ended: str = ""


def change_latency(stand: Stand, changes: int, within: float = math.inf) -> Changes:
    """From the beginning of a change, that has another backend serve alone, to the first new connection that reaches
    it. A change that is not followed in :data:`CHANGE_SECONDS` is the last; none but the first is begun after
    ``within`` seconds.

    Before the first, one backend alone serves, and nothing but it answers any more.
    """
    end = time.monotonic() + within
    taken: list[float] = []
    turns = itertools.cycle(stand.backends)
    ended = "" if _alone(stand, next(turns)) else "the first change was not followed in time"
    for number, backend in zip(range(changes), turns, strict=False):
        if number and time.monotonic() > end:
            ended = f"no more than {number} in {within:g} s"
        if ended:
            break
        time.sleep(LONE)
        seconds = _until_answered(stand, backend)
        if seconds is None:
            ended = f"change {number + 1} was not followed in time"
        else:
            taken.append(seconds * 1000)
    stand.proxy.serve(stand.backends)
    return Changes(tuple(taken), ended)


def _alone(stand: Stand, backend: Pod) -> bool:
    """Let that backend serve alone, and wait until it does; whether that was soon enough."""
    stand.proxy.serve([backend])
    end = time.monotonic() + CHANGE_SECONDS
    in_turn = 0
    while in_turn < IN_TURN and time.monotonic() < end:
        try:
            in_turn = in_turn + 1 if answer(stand.client, stand.target(WEB)) == backend.role else 0
        except OSError:
            in_turn = 0
    return in_turn == IN_TURN


def _until_answered(stand: Stand, backend: Pod) -> float | None:
    """Let that backend serve alone; seconds until it answers, None where it does not."""
    target = stand.target(WEB)
    began = time.monotonic()
    with _doing(lambda: stand.proxy.serve([backend])):
        while (now := time.monotonic()) - began < CHANGE_SECONDS:
            try:
                if answer(stand.client, target) == backend.role:
                    return now - began
            except OSError:
                pass
            time.sleep(_PAUSE)
    return None


@contextmanager
def _doing(what: Callable[[], None]) -> Iterator[None]:
    """Do it while the block runs; what it raises is raised at the block's end."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(what)
        yield
        done.result()


class Requests:
    """Asks at an even rate while the block runs, and counts. A request that has no answer in time, is refused or cut
    off has failed."""

    def __init__(self, client: Host, target: Target, rate: int = RATE) -> None:
        self._client = client
        self._target = target
        self._rate = rate
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._pool = ThreadPoolExecutor(WORKERS)
        self._clock = threading.Thread(target=self._tick)
        self.asked = 0
        self.failed = 0

    def __enter__(self) -> Requests:
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._clock.join()
        self._pool.shutdown()

    def _tick(self) -> None:
        began = time.monotonic()
        for number in itertools.count():
            if self._end.wait(max(0.0, began + number / self._rate - time.monotonic())):
                return
            self._pool.submit(self._ask)

    def _ask(self) -> None:
        try:
            answer(self._client, self._target)
            failed = 0
        except OSError:
            failed = 1
        with self._lock:
            self.asked += 1
            self.failed += failed


def rolling_restarts(stand: Stand, seconds: float) -> tuple[int, int]:
    """Restart the backends one after the other for so long: requests made meanwhile, and those of them that failed.

    Each is taken out of the endpoints; :data:`GRACE` seconds later its server takes no more connections, ends those
    that it has, and is started anew; then it is put back, and after :data:`REST` seconds the next one's turn has come.
    """
    end = time.monotonic() + seconds
    with Requests(stand.client, stand.target(WEB)) as requests:
        for backend in itertools.cycle(stand.backends):
            if time.monotonic() >= end:
                break
            _restart(stand, backend, [each for each in stand.backends if each is not backend])
    return requests.asked, requests.failed


def _restart(stand: Stand, backend: Pod, others: Sequence[Pod]) -> None:
    web = stand.lab.webs[backend.role]
    stand.proxy.serve(others)
    time.sleep(GRACE)
    web.end_within(GRACE)
    web.start()
    stand.proxy.serve(stand.backends)
    time.sleep(REST)
