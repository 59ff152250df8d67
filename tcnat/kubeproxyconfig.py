"""A KubeProxyConfiguration file (``kubeproxy.config.k8s.io/v1alpha1``) as settings of tcnat's.

What applies is handed on under the flags' names, what does not is named. Such files are often written out in full, so
a field with Go's zero value (null, ``""``, 0, ``0s``, false, empty) counts as not given, as it does for kube-proxy.
Fields that later releases of kube-proxy dropped are known, too; any other is refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from tcnat.config import FileSettings

GROUP_VERSION = "kubeproxy.config.k8s.io/v1alpha1"
KIND = "KubeProxyConfiguration"
MODES = ("iptables", "ipvs", "nftables", "userspace")
"""kube-proxy's modes on Linux. The mode says which section's periods count, and nothing else here."""

_SECTIONS: Mapping[str, frozenset[str]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "clientConnection": "acceptContentTypes burst contentType kubeconfig qps",
        "conntrack": "max maxPerCore min tcpBeLiberal tcpCloseWaitTimeout tcpEstablishedTimeout udpStreamTimeout "
        "udpTimeout",
        "detectLocal": "bridgeInterface interfaceNamePrefix",
        "iptables": "localhostNodePorts masqueradeAll masqueradeBit minSyncPeriod snatNodeInternalIP syncPeriod",
        "ipvs": "excludeCIDRs minSyncPeriod scheduler strictARP syncPeriod tcpFinTimeout tcpTimeout udpTimeout",
        "logging": "flushFrequency format options sanitization verbosity vmodule",
        "nftables": "masqueradeAll masqueradeBit minSyncPeriod syncPeriod",
        "winkernel": "enableDSR forwardHealthCheckVip networkName rootHnsEndpointName sourceVip",
    }.items()
}
_FIELDS = frozenset(
    {
        "apiVersion", "bindAddress", "bindAddressHardFail", "clusterCIDR", "configSyncPeriod", "detectLocalMode",
        "enableProfiling", "featureGates", "healthzBindAddress", "hostnameOverride", "kind", "metricsBindAddress",
        "mode", "nodePortAddresses", "oomScoreAdj", "portRange", "resourceContainer", "showHiddenMetricsForVersion",
        "udpIdleTimeout", "windowsRunAsService",
    }
)  # fmt: skip
_SERVED: Mapping[str, str] = {
    "clientConnection.kubeconfig": "kubeconfig",
    "clusterCIDR": "cluster-cidr",
    "conntrack.tcpCloseWaitTimeout": "tcp-half-closed-timeout",
    "conntrack.tcpEstablishedTimeout": "tcp-timeout",
    "conntrack.udpStreamTimeout": "udp-timeout",
    "healthzBindAddress": "healthz-bind-address",
    "hostnameOverride": "hostname-override",
    "logging.verbosity": "v",
    "metricsBindAddress": "metrics-bind-address",
    "nodePortAddresses": "nodeport-addresses",
}
"""Field -> setting. Those that depend on the mode come from :func:`_served`."""
_NODE_PORT_WORDS = {"all": ("0.0.0.0/0", "::/0"), "localhost": ("127.0.0.0/8", "::1/128")}
_ZERO_DURATION = re.compile(r"0|(0(h|m|s|ms|us|µs|ns))+")


def translate(content: Mapping[str, Any]) -> FileSettings:
    """The settings in such an object; ValueError, in words that fit behind the file's name, for another kind of object
    and for fields that this one does not have."""
    found = (content.get("apiVersion"), content.get("kind"))
    if found != (GROUP_VERSION, KIND):
        raise ValueError(f"is {found[0]} {found[1]}; of API objects only {GROUP_VERSION} {KIND} is read")
    given = {name: value for name, value in _flat(content).items() if not _is_zero(value)}
    mode = given.get("mode", "iptables")
    if mode not in MODES:
        raise ValueError(f"mode: {mode!r} is not one of {', '.join(MODES)}")
    served = _served(mode)
    if "nodePortAddresses" in given:
        given["nodePortAddresses"] = _node_port_addresses(given["nodePortAddresses"])
    applying = given.keys() & served.keys()
    return FileSettings(
        values={served[name]: given[name] for name in applying},
        fields={served[name]: name for name in applying},
        without_effect=tuple(sorted(given.keys() - served.keys() - {"apiVersion", "kind"})),
    )


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """Field -> value, those of sections as ``section.field``; ValueError for a field that there is not."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        _check_known(name, _FIELDS | _SECTIONS.keys(), KIND)
        if name not in _SECTIONS:
            flat[name] = value
            continue
        if not isinstance(value, dict | None):
            raise ValueError(f"{name}: must hold fields, not {type(value).__name__}")
        for field, inner in (value or {}).items():
            _check_known(field, _SECTIONS[name], name)
            flat[f"{name}.{field}"] = inner
    return flat


def _check_known(field: object, known: Collection[str], owner: str) -> None:
    if field in known:
        return
    near = difflib.get_close_matches(str(field), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f": {owner} has no such field; tcnat's own settings are flags"
    raise ValueError(f"unknown field {str(field)!r}{f' in {owner}' if near else ''}{hint}")


def _is_zero(value: object) -> bool:
    return not value or (isinstance(value, str) and _ZERO_DURATION.fullmatch(value) is not None)


def _served(mode: str) -> dict[str, str]:
    """Field -> setting, as kube-proxy reads them in that mode."""
    periods = mode if mode in {"ipvs", "nftables"} else "iptables"
    masquerading = "nftables" if mode == "nftables" else "iptables"
    return {
        **_SERVED,
        f"{periods}.syncPeriod": "sync-period",
        f"{periods}.minSyncPeriod": "min-sync-period",
        f"{masquerading}.masqueradeAll": "masquerade-all",
    }


def _node_port_addresses(value: object) -> object:
    """kube-proxy's words for networks as networks; ``primary`` is known as it is."""
    if not isinstance(value, list):
        return value
    return [network for each in value for network in _NODE_PORT_WORDS.get(str(each), (each,))]
