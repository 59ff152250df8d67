"""Which objects tell of endpoints: ``discovery.k8s.io/v1`` EndpointSlices, ``v1beta1`` ones, or core Endpoints (rule
38)."""

from __future__ import annotations

from dataclasses import dataclass

from tcnat.sources.kubernetes import wireformat
from tcnat.sources.kubernetes.api import Api, ApiError

PROXY_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object on the server, and which of them are asked for."""

    kind: str
    api_version: str
    path: str
    label_selector: str = ""
    field_selector: str = ""

    @property
    def name(self) -> str:
        """As people and RBAC rules call it: ``endpointslices``."""
        return self.path.rpartition("/")[2]

    def parameters(self) -> dict[str, str]:
        """The selectors as a request has them."""
        selectors = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: value for name, value in selectors.items() if value}


def selector(proxy_name: str) -> str:
    """Rule 1 as a label selector. With a proxy name of one's own: only what is given to that one."""
    mine = f"{PROXY_LABEL}={proxy_name}" if proxy_name else f"!{PROXY_LABEL}"
    return f"{mine},!{HEADLESS_LABEL}"


def services(proxy_name: str) -> Resource:
    """The Services."""
    return Resource("Service", "v1", "/api/v1/services", selector(proxy_name))


def node(name: str) -> Resource:
    """The Node of that name alone."""
    return Resource("Node", "v1", "/api/v1/nodes", field_selector=f"metadata.name={name}")


def endpoints(api: Api, proxy_name: str) -> Resource:
    """The best kind of endpoint objects that the server has. ApiError, Unreachable."""
    labels = selector(proxy_name)
    try:
        found = wireformat.group.decode(api.get("/apis/discovery.k8s.io"))
        versions = {each.version for each in found.versions}
    except ApiError as error:
        if error.status != 404:
            raise
        versions = set()
    for version in ("v1", "v1beta1"):
        if version in versions:
            group_version = f"discovery.k8s.io/{version}"
            return Resource("EndpointSlice", group_version, f"/apis/{group_version}/endpointslices", labels)
    return Resource("Endpoints", "v1", "/api/v1/endpoints", labels)
