"""In the bundle: of the client, what ``tcnat.sources.kubernetes`` takes; the whole is 30 MB of classes."""

from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration

__all__ = ["ApiClient", "Configuration"]
