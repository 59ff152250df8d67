"""TCP connections to a Service, with sockets of the kernel's on both ends."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tcnat.layout import Family
from tests.lab.clients import Tcp, open_socket
from tests.lab.objects import Port, Service
from tests.lab.stage import ECHO_PORT, Stage

SIZES = [1, 100, 1447, 1449, 65_537, 1_000_000]
SERVER_PORT = 7100


@pytest.fixture(scope="module")
def service(scene: Stage) -> Service:
    """A Service on all backends, which the tests of this module share."""
    return scene.service()


@contextmanager
def both_ends(scene: Stage, family: Family, source_port: int = 0) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection through a Service with one backend: the client's socket and the server's."""
    backend = scene.backends[0]
    service = scene.service([backend], ports=(Port("raw", 80, SERVER_PORT),))
    with open_socket(backend, family, socket.SOCK_STREAM, SERVER_PORT) as listener:
        listener.listen()
        with open_socket(scene.client, family, socket.SOCK_STREAM, source_port) as client:
            client.connect((service.addresses.of(family), 80))
            server, _ = listener.accept()
            with server:
                server.settimeout(10)
                yield client, server


def receive_all(end: socket.socket) -> bytes:
    parts = []
    while part := end.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("size", SIZES)
def test_data_of_every_size_comes_back_unharmed(scene: Stage, service: Service, family: Family, size: int) -> None:
    data = os.urandom(size)
    with scene.tcp(service, family) as connection:
        assert connection.echo(data) == data


def test_hundreds_of_short_connections_all_succeed(scene: Stage, service: Service, family: Family) -> None:
    for _ in range(300):
        with scene.tcp(service, family) as connection:
            assert connection.server in scene.echoes


def test_a_long_conversation_stays_with_its_backend(scene: Stage, service: Service, family: Family) -> None:
    with scene.tcp(service, family) as connection:
        for number in range(500):
            assert connection.echo(b"%d" % number) == b"%d" % number


def test_each_end_sees_the_other_as_it_expects(scene: Stage, family: Family) -> None:
    with both_ends(scene, family) as (client, server):
        assert client.getpeername()[1] == 80
        assert server.getpeername()[:2] == client.getsockname()[:2]
        assert server.getsockname()[:2] == (scene.backends[0].addresses.of(family), SERVER_PORT)


def test_a_client_that_closed_its_half_still_hears(scene: Stage, family: Family) -> None:
    with both_ends(scene, family) as (client, server):
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(server) == b"question"
        server.sendall(b"a" * 100_000)
        server.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"a" * 100_000


def test_a_server_that_closed_its_half_still_hears(scene: Stage, family: Family) -> None:
    with both_ends(scene, family) as (client, server):
        server.sendall(b"greeting")
        server.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"greeting"
        client.sendall(b"q" * 100_000)
        client.shutdown(socket.SHUT_WR)
        assert receive_all(server) == b"q" * 100_000


def test_both_may_close_at_the_same_time(scene: Stage, family: Family) -> None:
    with both_ends(scene, family) as (client, server):
        client.shutdown(socket.SHUT_WR)
        server.shutdown(socket.SHUT_WR)
        assert receive_all(client) == receive_all(server) == b""


def test_a_reset_of_the_clients_reaches_the_server(scene: Stage, family: Family) -> None:
    with both_ends(scene, family) as (client, server):
        reset(client)
        with pytest.raises(ConnectionResetError):
            server.recv(1)


def test_a_reset_of_the_servers_reaches_the_client(scene: Stage, family: Family) -> None:
    with both_ends(scene, family) as (client, server):
        reset(server)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    end.close()


def test_a_port_is_good_again_at_once_after_a_reset(scene: Stage, service: Service, family: Family) -> None:
    for _ in range(20):
        connection = scene.tcp(service, family, source_port=20_123)
        assert connection.echo(b"hello") == b"hello"
        connection.reset()


def test_a_port_is_good_again_at_once_after_an_orderly_end(scene: Stage, family: Family) -> None:
    """The server's FIN comes first, so that the client's end of the connection leaves no TIME_WAIT behind."""
    for _ in range(5):
        with both_ends(scene, family, source_port=20_124) as (client, server):
            server.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b""
            client.sendall(b"last words")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(server) == b"last words"
            reset(server)


def test_a_backend_where_nobody_listens_refuses(scene: Stage, family: Family) -> None:
    service = scene.service([scene.backends[0]], ports=(Port("closed", ECHO_PORT, 9),))
    with pytest.raises(ConnectionRefusedError):
        scene.tcp(service, family)


def test_a_backend_can_be_reached_without_its_service(scene: Stage, service: Service, family: Family) -> None:
    with scene.tcp_to_backend(scene.backends[1], family) as connection:
        assert connection.server == "backend2"
        assert connection.echo(b"x" * 10_000) == b"x" * 10_000


def test_a_port_that_the_service_does_not_have_is_left_to_the_network(
    scene: Stage, service: Service, family: Family
) -> None:
    """The lab's router has no route to it; tcnat must not have rewritten it on the way there."""
    with pytest.raises(OSError, match="unreachable") as caught:
        Tcp(scene.client, service.addresses, family, 81)
    assert caught.value.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH)
