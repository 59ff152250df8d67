"""SCTP: by address only, as a port could not change without the CRC32c over the whole packet."""

from __future__ import annotations

from tests.packets.harness import Harness
from tests.packets.table import Endpoints, Holds, Row, Sent, Services, Wait, dropped, forwarded, play, reversed_, table
from tests.packets.wire import CLIENT_PORT, Wire
from tests.packets.world import DIAMETER, SCTP, SCTP_ELSEWHERE, SCTP_ONE, Endpoint, FrontEnd


def to_peer(w: Wire, *, init: bool = False, backend: str = "") -> Sent:
    """A client's packet to sctp_vip."""
    backend = backend or w.backend_one
    return forwarded(
        w.sctp(w.client, CLIENT_PORT, w.sctp_vip, 3868, init=init),
        w.sctp(w.client, CLIENT_PORT, backend, 3868, init=init),
    )


def from_peer(w: Wire) -> Sent:
    """The backend's packet."""
    return reversed_(
        w.sctp(w.backend_one, 3868, w.client, CLIENT_PORT), w.sctp(w.sctp_vip, 3868, w.client, CLIENT_PORT)
    )


def moves(w: Wire) -> Services:
    """sctp_vip gets another endpoint, on the same port of backend_two."""
    return Services((FrontEnd(w.sctp_vip, 3868, SCTP, (SCTP_ELSEWHERE,), DIAMETER),))


def backend_two_listens(w: Wire) -> Endpoints:
    """The other endpoint has the port of the front end."""
    return Endpoints((Endpoint(SCTP_ELSEWHERE, w.backend_two, 3868),))


ROWS = [
    Row(
        "an association goes to the backend and back",
        lambda w: [to_peer(w, init=True), Holds("flows_new", 2), from_peer(w), Holds("flows", 2), to_peer(w)],
    ),
    Row(
        "a port that would have to change is dropped",
        lambda w: [
            dropped("egress", w.sctp(w.client, CLIENT_PORT, w.sctp_vip, 3869, init=True), "SCTP_PORT"),
            Holds("flows_new", 0),
        ],
    ),
    Row(
        "an association stays where it is when its endpoint leaves, a new INIT goes elsewhere",
        lambda w: [
            backend_two_listens(w),
            to_peer(w, init=True),
            from_peer(w),
            moves(w),
            Endpoints((Endpoint(SCTP_ONE, w.backend_one, 3868, generation=2),)),
            to_peer(w),
            to_peer(w, init=True, backend=w.backend_two),
        ],
    ),
    Row(
        "an INIT that is sent again goes to the same backend while its endpoint stands",
        lambda w: [backend_two_listens(w), to_peer(w, init=True), moves(w), to_peer(w, init=True)],
    ),
    Row(
        "an answered association lives for an hour without a packet, an unanswered one for 30 s",
        lambda w: [
            backend_two_listens(w),
            to_peer(w, init=True),
            from_peer(w),
            moves(w),
            Wait(3600),
            to_peer(w),
            Wait(3601),
            to_peer(w, backend=w.backend_two),
            Wait(31),
            Services((FrontEnd(w.sctp_vip, 3868, SCTP, (SCTP_ONE,), DIAMETER),)),
            to_peer(w),
        ],
    ),
    Row(
        "the same port to two Services with one backend: no other port can be given, so the second is dropped",
        lambda w: [
            Services((FrontEnd(w.web_vip, 3868, SCTP, (SCTP_ONE,), DIAMETER),)),
            to_peer(w, init=True),
            dropped("egress", w.sctp(w.client, CLIENT_PORT, w.web_vip, 3868, init=True), "NO_SOURCE_PORT"),
            to_peer(w),
            from_peer(w),
        ],
    ),
]


@table(ROWS)
def test_sctp(row: Row, harness: Harness) -> None:
    play(row, harness)
