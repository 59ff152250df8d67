"""A client that is its own backend."""

from __future__ import annotations

import os
import socket

from tcnat.layout import Family
from tests.lab.clients import open_socket
from tests.lab.objects import Port
from tests.lab.stage import Stage

SERVER_PORT = 7100


def test_a_client_reaches_itself_over_tcp(scene: Stage, family: Family) -> None:
    data = os.urandom(200_000)
    with scene.tcp(scene.service([scene.client]), family) as connection:
        assert connection.server == scene.client.role
        assert connection.echo(data) == data


def test_a_client_reaches_itself_over_udp(scene: Stage, family: Family) -> None:
    service = scene.service([scene.client])
    for connected in (True, False):
        with scene.udp(service, family, connected=connected) as flow:
            assert flow.ask(os.urandom(1000)) == scene.client.role


def test_large_datagrams_of_a_client_to_itself_arrive(scene: Stage, family: Family) -> None:
    with scene.udp(scene.service([scene.client]), family) as flow:
        assert flow.ask(os.urandom(60_000)) == scene.client.role


def test_the_server_sees_the_service_as_its_client(scene: Stage, family: Family) -> None:
    """Else its answers would stay inside the machine, and the client would not know whose they are."""
    service = scene.service([scene.client], ports=(Port("raw", 80, SERVER_PORT),))
    with (
        open_socket(scene.client, family, socket.SOCK_STREAM, SERVER_PORT) as listener,
        open_socket(scene.client, family, socket.SOCK_STREAM) as client,
    ):
        listener.listen()
        client.connect((service.addresses.of(family), 80))
        server, peer = listener.accept()
        server.close()
    assert peer[0] == service.addresses.of(family)


def test_no_try_fails_where_the_client_is_one_of_many_backends(scene: Stage, family: Family) -> None:
    service = scene.service([scene.client, *scene.backends])
    servers = set()
    for _ in range(100):
        with scene.tcp(service, family) as connection:
            assert connection.echo(b"hello") == b"hello"
            servers.add(connection.server)
    assert servers == {scene.client.role, "backend1", "backend2", "backend3"}
