"""Who answers a client, or what it gets in place of an answer."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from tcnat.layout import Family
from tests.lab.addresses import Addresses
from tests.lab.clients import Tcp, Udp
from tests.lab.namespace import Namespace

TRIES = 40
"""Of three backends that are chosen by chance, one is then missed in three of ten million times."""
NO_ANSWER = "no answer"
SECONDS_WITHOUT_ANSWER = 3
HEAR_ALL_ERRORS = {Family.IPV4: (socket.IPPROTO_IP, 11), Family.IPV6: (socket.IPPROTO_IPV6, 25)}
"""IP_RECVERR and IPV6_RECVERR (linux/in.h, linux/in6.h): else UDP sockets keep silent about what is out of reach."""


def tcp_answers(host: Namespace, to: Addresses, family: Family, port: int) -> list[str]:
    """Connect to an echo server again and again: the server's name each time, or the error's (``ECONNREFUSED``)."""

    def ask() -> str:
        with Tcp(host, to, family, port) as connection:
            return connection.server

    return _answers(ask)


def udp_answers(host: Namespace, to: Addresses, family: Family, port: int) -> list[str]:
    """Ask an echo server from a new socket each time; as :func:`tcp_answers`."""

    def ask() -> str:
        with Udp(host, to, family, port) as client:
            client.socket.settimeout(SECONDS_WITHOUT_ANSWER)
            client.socket.setsockopt(*HEAR_ALL_ERRORS[family], 1)
            return client.ask(b"question" * 4)

    return _answers(ask)


def _answers(ask: Callable[[], str]) -> list[str]:
    """Up to the first error: hosts are slow to tell of another one soon after."""
    answers: list[str] = []
    for _ in range(TRIES):
        try:
            answers.append(ask())
        except TimeoutError:
            return [*answers, NO_ANSWER]
        except OSError as error:
            return [*answers, errno.errorcode.get(error.errno or 0, str(error))]
    return answers
