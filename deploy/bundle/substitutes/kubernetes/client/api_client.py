"""In the bundle: a client that has its configuration, headers and connections, and leaves requests to tcnat."""

from __future__ import annotations

from kubernetes.client import rest
from kubernetes.client.configuration import Configuration


class ApiClient:
    """The attributes that ``tcnat.sources.kubernetes.api`` uses of the real one."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.rest_client = rest.RESTClientObject(configuration)
        self.default_headers = {"User-Agent": "tcnat"}
