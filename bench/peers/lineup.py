"""All peers in one lab, at work side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from .api import Api
from .kubeproxy import IPVS, LEGACY, NFT, KubeProxies
from .lab import PeerLab
from .nftables import Nftables
from .stand import PATIENCE, Peer, Stand, TooSlow
from .straight import EmptyProgram, NoProxy
from .tcnat import BY_STACK, TCNAT_NAME, TO_DEVICE, Tcnat

Slow = dict[tuple[str, int], TooSlow]
"""By a peer's name and the number of Services."""
_TCNATS = {TCNAT_NAME: (), TO_DEVICE: ("--redirect-peer=off",), BY_STACK: ("--redirect=off",)}
"""tcnat by name, and its options there."""


@dataclass(frozen=True, slots=True)
class AtWork:
    """Who is at work, in the order of the line-up, and who did not load its Services in time."""

    stands: tuple[Stand, ...]
    too_slow: tuple[TooSlow, ...]


class LineUp:
    """Peers and their lab, between entering and leaving ``with``.

    With ``cluster``, tcnat and the kube-proxies follow one API server; without it tcnat has its objects in files, and
    there is no kube-proxy. ``ipvs``: for kernels that have it. ``only``: those of these names. ``slow``: who is known
    not to load how many Services in time, and is not tried again with these; it grows, for other line-ups to have it.
    Without it everybody is tried each time.
    """

    def __init__(
        self, *, cluster: bool, ipvs: bool = False, only: Sequence[str] = (), slow: Slow | None = None
    ) -> None:
        self._cluster = cluster
        self._slow = slow
        every: list[Peer] = [NoProxy(), EmptyProgram(), Nftables()]
        if cluster:
            every += [Tcnat(name, options, lambda: self.api) for name, options in _TCNATS.items()]
            every += [KubeProxies(name, lambda: self.api) for name in (LEGACY, NFT, *([IPVS] if ipvs else []))]
        else:
            every += [Tcnat(name, options) for name, options in _TCNATS.items()]
        self.peers = tuple(peer for peer in every if not only or peer.name in only)
        self.lab = PeerLab([peer.name for peer in self.peers])

    def __enter__(self) -> Self:
        self.lab.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.lab.__exit__(*error)

    @cached_property
    def api(self) -> Api:
        """The lab's API server, which is started when it is first asked for."""
        return Api(self.lab)

    def resize(self, services: int) -> None:
        """Have the API server hold so many Services, for peers that are started one by one (:class:`Peer`)."""
        if self._cluster:
            self.api.resize(services)

    @contextmanager
    def at_work(self, services: int, patience: float = PATIENCE, without: Sequence[str] = ()) -> Iterator[AtWork]:
        """All peers with that many Services while the block runs, but for those of the names ``without``. They load at
        the same time, so that what it says of their loading is not to be compared; who takes more than ``patience``
        seconds is left out."""
        self.resize(services)
        peers = [peer for peer in self.peers if peer.name not in without]
        with ExitStack() as stack, ThreadPoolExecutor(len(peers)) as pool:
            found = list(pool.map(lambda peer: self._stand(peer, stack, services, patience), peers))
            stands = tuple(each for each in found if isinstance(each, Stand))
            yield AtWork(stands, tuple(each for each in found if isinstance(each, TooSlow)))

    @contextmanager
    def standing(self, peer: Peer, services: int, patience: float = PATIENCE) -> Iterator[Stand]:
        """One peer at work (:meth:`Peer.standing`). TooSlow at once where it was too slow with so many before."""
        known = {} if self._slow is None else self._slow
        if error := known.get((peer.name, services)):
            raise error
        try:
            with peer.standing(self.lab, services, patience) as stand:
                yield stand
        except TooSlow as error:
            known[peer.name, services] = error
            raise

    def _stand(self, peer: Peer, stack: ExitStack, services: int, patience: float) -> Stand | TooSlow:
        try:
            return stack.enter_context(self.standing(peer, services, patience))
        except TooSlow as error:
            return error
