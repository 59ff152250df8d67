"""Requests to the API server. The only importer of the ``kubernetes`` client, of which it takes configuration, TLS and
authentication (in-cluster, kubeconfig, exec plugins, token rotation), and none of the typed models.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import urllib3
import yaml
from urllib3.connection import HTTPConnection

from tcnat.errors import TcnatError

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""How long an answer may take to begin, or to go on."""
_KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]
_CHUNK = 65536


class ApiError(Exception):
    """The server's refusal. ``retry_after`` is in seconds, where it named a time."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Unreachable(Exception):
    """The server could not be asked, or its answer broke off."""


class Idle(Unreachable):
    """Nothing came for as long as was waited."""


class _Status(msgspec.Struct, frozen=True):
    message: str = ""


class Api:
    """One API server. Safe to use from several threads. ``load`` gives a fresh ``kubernetes.client.ApiClient``; it is
    called again by :meth:`reload`."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._client = load()

    @property
    def server(self) -> str:
        """The server's URL."""
        return str(self._client.configuration.host)

    def reload(self) -> None:
        """Read configuration and credentials anew, as after a 401. Unreachable where they cannot be read just now: then
        the old ones stay."""
        with self._lock:
            try:
                self._client = self._load()
            except Exception as error:  # half-written files, exec plugins: anything
                raise Unreachable(f"the credentials cannot be read again: {' '.join(str(error).split())}") from None

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> bytes:
        """The body of the answer. ApiError, Unreachable."""
        response = self._request(path, parameters or {}, ANSWER_SECONDS)
        try:
            return bytes(response.data)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(_in_words(error)) from None
        finally:
            response.release_conn()

    @contextmanager
    def lines(self, path: str, parameters: Mapping[str, str], idle_seconds: float) -> Iterator[Iterator[bytes]]:
        """The lines of an answer that goes on, as they come; it ends when the server ends it, a cut line left out.
        Idle when nothing comes for ``idle_seconds``, Unreachable when it breaks off."""
        response = self._request(path, parameters, idle_seconds)
        try:
            yield _lines(response)
        finally:
            response.close()

    def _request(self, path: str, parameters: Mapping[str, str], seconds: float) -> urllib3.BaseHTTPResponse:
        with self._lock:
            configuration = self._client.configuration
            headers = {"Accept": "application/json", **self._client.default_headers}
            try:
                for setting in configuration.auth_settings().values():
                    headers[setting["key"]] = setting["value"]
            except Exception as error:  # an exec plugin can fail in any way
                raise Unreachable(f"no credentials: {error}") from None
            pool = self._client.rest_client.pool_manager
        try:
            response: urllib3.BaseHTTPResponse = pool.request(
                "GET",
                configuration.host + path,
                fields=dict(parameters),
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds),
                preload_content=False,
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(_in_words(error)) from None
        if response.status != 200:
            raise _refusal(response)
        return response


def connect(kubeconfig: Path | None, master: str | None) -> Api:
    """An API server by kube-proxy's rules: ``--kubeconfig``, else in-cluster; ``--master`` overrides the URL.

    TcnatError where the configuration cannot be read.
    """
    from kubernetes import client, config  # noqa: PLC0415 - heavy, and only for this source
    from kubernetes.config.config_exception import ConfigException  # noqa: PLC0415

    def load() -> Any:
        configuration = client.Configuration()
        if kubeconfig is not None:
            config.load_kube_config(str(kubeconfig), client_configuration=configuration)
        elif master is None:
            config.load_incluster_config(client_configuration=configuration)
        if master is not None:
            configuration.host = master.rstrip("/")
        configuration.retries = False
        configuration.socket_options = HTTPConnection.default_socket_options + _KEEP_ALIVE
        return client.ApiClient(configuration)

    try:
        return Api(load)
    except ConfigException as error:
        where = f"--kubeconfig {kubeconfig}" if kubeconfig else "the in-cluster configuration"
        raise TcnatError(f"{where} cannot be used: {error}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        words = " ".join(str(error).split())
        raise TcnatError(f"--kubeconfig {kubeconfig} cannot be read: {words}") from None


def _refusal(response: urllib3.BaseHTTPResponse) -> ApiError:
    try:
        body = response.data
    except urllib3.exceptions.HTTPError:
        body = b""
    finally:
        response.release_conn()
    try:
        message = msgspec.json.decode(body, type=_Status).message
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = body[:200].decode(errors="replace").strip()
    wait = response.headers.get("Retry-After", "")
    return ApiError(response.status, message or str(response.reason), float(wait) if wait.isdigit() else None)


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    try:
        for chunk in response.stream(_CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line for line in whole if line.strip())
    except urllib3.exceptions.ReadTimeoutError as error:
        raise Idle(_in_words(error)) from None
    except urllib3.exceptions.HTTPError as error:
        raise Unreachable(_in_words(error)) from None


def _in_words(error: Exception) -> str:
    """urllib3's reason without its objects' addresses."""
    reason = getattr(error, "reason", None) or error
    text = str(reason.__cause__ or reason) if isinstance(reason, Exception) else str(reason)
    return text.rpartition(">: ")[2] or type(error).__name__
