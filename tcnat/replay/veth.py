"""Running the programs through veth pairs: on kernels without BPF_PROG_TEST_RUN, and for frames that it refuses.

The pairs live in a network namespace that has no name and goes with the process. tc_egress sits on ``egress0`` as on a
device that faces the network, tc_ingress on ``ingress0`` as on one that faces a workload: both at clsact egress, so
that a frame sent on the device comes out at its peer, or comes back, or is dropped before the call returns.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Mapping

from tcnat.attach import Attacher, Programs, Role
from tcnat.errors import TcnatError
from tcnat.layout import Family
from tcnat.loader import Loaded
from tcnat.netlink import Netlink
from tcnat.netns import keep_quiet, throwaway
from tcnat.replay.datapath import Send
from tcnat.replay.side import Side
from tcnat.replay.tally import REDIRECT, SHOT, UNSPEC

_MTU = 65535
_ETH_P_ALL = 3
_ETHERTYPE = {Family.IPV4: 0x0800, Family.IPV6: 0x86DD}
_PATIENCE = 2000  # milliseconds for a frame to come out; it is there at once unless the machine is stalled


class VethRunner:
    """Sends frames over devices that carry the programs. TcnatError if it lacks the rights or the kernel's means."""

    def __init__(self, loaded: Mapping[Family, Loaded]) -> None:
        with throwaway():
            keep_quiet()
            links = Netlink()
            for side in Side:
                links.add_veth(f"{side}0", f"{side}1", _MTU)
                for device in (f"{side}0", f"{side}1"):
                    links.set_up(links.index_of(device))
            links.close()
            self._attach(loaded)
            self._pairs = {side: (_tap(f"{side}0"), _tap(f"{side}1")) for side in Side}

    @staticmethod
    def _attach(loaded: Mapping[Family, Loaded]) -> None:
        egress = {f"egress{family}": one.egress.fd for family, one in loaded.items()}
        ingress = {f"ingress{family}": one.ingress.fd for family, one in loaded.items()}
        attacher = Attacher()
        attacher.attach("egress0", Role.NETWORK, Programs(**egress))
        attacher.attach("ingress0", Role.WORKLOAD, Programs(**ingress))
        attacher.close()

    def way(self, side: Side, family: Family) -> Send:
        """See :class:`tcnat.replay.datapath.Runner`."""
        near, far = self._pairs[side]
        device = (near.getsockname()[0], _ETHERTYPE[family])

        def send(frame: bytes) -> tuple[int, bytes]:
            try:
                near.sendto(frame, device)
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return SHOT, frame
                what = f"a frame of {len(frame)} bytes cannot be sent through veth"
                raise TcnatError(f"{what}: {error.strerror}") from None
            return _coming_out(near, far)

        return send

    def close(self) -> None:
        """Give the namespace back, and the devices with it."""
        for pair in self._pairs.values():
            for one in pair:
                one.close()


def _coming_out(near: socket.socket, far: socket.socket) -> tuple[int, bytes]:
    poll = select.poll()
    for one in (near, far):
        poll.register(one, select.POLLIN)
    while ready := dict(poll.poll(_PATIENCE)):
        for one, verdict in ((far, UNSPEC), (near, REDIRECT)):
            if one.fileno() in ready:
                frame, address = one.recvfrom(_MTU + 18)
                if address[2] != socket.PACKET_OUTGOING:
                    return verdict, frame
    raise TcnatError("a frame that was sent through the veth pair did not come out")


def _tap(device: str) -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    tap.bind((device, _ETH_P_ALL))
    return tap
