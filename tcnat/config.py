"""What the agent is told: one table of settings, which are flags and keys of the config file alike.

Names are kube-proxy's where it has them (service-semantics rule 37). A flag wins over the file, the file over the
default. The file is YAML (or JSON) with the flags' names as keys; kube-proxy's camelCase spelling of a key is taken,
too. A KubeProxyConfiguration is read as well (:mod:`tcnat.kubeproxyconfig`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tcnat import values
from tcnat.errors import TcnatError
from tcnat.layout import DEFAULT_TIMEOUTS, MAPS, SCTP_TIMEOUT, FlowState
from tcnat.loader import DEFAULT_PINS
from tcnat.values import Address

HEALTHZ_PORT = 10256
METRICS_PORT = 10249


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """The agent's settings, complete and checked. Durations are seconds."""

    datapath: str
    objects: tuple[Path, ...]
    kubeconfig: Path | None
    master: str
    service_proxy_name: str
    network_device: tuple[str, ...]
    workload_device: tuple[str, ...]
    redirect: str
    redirect_peer: str
    hostname_override: str
    cluster_cidr: tuple[str, ...]
    masquerade_all: bool
    nodeport_addresses: tuple[str, ...]
    healthz_bind_address: Address | None
    metrics_bind_address: Address | None
    sync_period: float
    min_sync_period: float
    cleanup_on_exit: bool
    pin_path: Path
    unknown_port: str
    echo: str
    tcp_timeout: float
    tcp_half_closed_timeout: float
    udp_timeout: float
    sctp_timeout: float
    flow_table_size: int
    v: int
    without_effect: tuple[str, ...] = ()
    """Fields of the KubeProxyConfiguration file that are of no use here."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One flag and config key. ``read`` turns the text of one value into its meaning, or raises ValueError;
    ``default`` is such a text, or a tuple of them where there may be ``many``."""

    key: str
    read: Callable[[str], Any]
    default: str | tuple[str, ...]
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """The name in :class:`AgentConfig`."""
        return self.key.replace("-", "_")

    @property
    def many(self) -> bool:
        """Whether it takes several values."""
        return isinstance(self.default, tuple)

    @property
    def is_switch(self) -> bool:
        """Whether it is a flag without a value."""
        return self.read is values.switch

    def convert(self, raw: Any) -> Any:
        """What a value from the command line or the file means; ValueError if it means nothing."""
        if not self.many:
            return self.read(_text(raw))
        listed = raw if isinstance(raw, list | tuple) else [raw]
        words = [word for value in listed for word in self._words(_text(value))]
        return tuple(self.read(word) for word in words)

    def _words(self, text: str) -> list[str]:
        """The values in one text: lists are separated by commas, as kube-proxy has it, but a path may hold a comma."""
        if self.read is values.path:
            return [text]
        return [word.strip() for word in text.split(",") if word.strip()]


def _text(raw: Any) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str | int | float):
        return str(raw)
    raise ValueError("is empty" if raw is None else f"must be a plain value, not {type(raw).__name__}")


def _choice(key: str, choices: tuple[str, ...], default: str, text: str) -> Setting:
    return Setting(key, values.choice(*choices), default, text, choices=choices)


def _timeout(key: str, seconds: int, text: str) -> Setting:
    return Setting(key, values.long_duration, values.format_duration(seconds), text, "DURATION")


SETTINGS: tuple[Setting, ...] = (
    _choice("datapath", ("auto", "tc"), "auto", "The datapath; auto looks what this kernel has."),
    Setting("objects", values.path, (), "Files or directories with Services and EndpointSlices, as kubectl get -o yaml "
            "or -o json prints them.", "FILE..."),
    Setting("kubeconfig", values.optional_path, "", "How to reach the API server; without it and without --objects: "
            "as in a pod.", "FILE"),
    Setting("master", str, "", "The API server's URL, in place of the one in the kubeconfig.", "URL"),
    Setting("service-proxy-name", str, "", "Serve the Services with this label value of "
            "service.kubernetes.io/service-proxy-name, and not those without it.", "NAME"),
    Setting("network-device", values.name, (), "Devices that face the network (eth0).", "NAME..."),
    Setting("workload-device", values.name, (), "Devices that face workloads: by name (veth*), as ports of a bridge "
            "(bridge:cni0), or by the host routes to pods (route:10.244.0.0/16).", "PATTERN..."),
    _choice("redirect", ("auto", "on", "off"), "auto", "Hand packets between workloads of this node straight to "
            "the other's device, past netfilter and routes; auto: where nothing there minds."),
    _choice("redirect-peer", ("auto", "on", "off"), "auto", "Hand them past that device, too, straight into the "
            "workload, where nothing at the device minds; auto: if the kernel counts them there (6.7)."),
    Setting("hostname-override", str, "", "The node's name; the default is the host's name.", "NAME"),
    Setting("cluster-cidr", values.cidr, (), "The networks of the pods.", "CIDR,..."),
    Setting("masquerade-all", values.switch, "false", "Masquerade everything that is sent to a ClusterIP."),
    Setting("nodeport-addresses", values.nodeport_address, (), "Networks whose local addresses NodePorts answer on, or "
            "primary.", "CIDR,..."),
    Setting("healthz-bind-address", values.bind_address(HEALTHZ_PORT), f"127.0.0.1:{HEALTHZ_PORT}",
            "Where /healthz and /livez are served; empty: nowhere.", "IP:PORT"),
    Setting("metrics-bind-address", values.bind_address(METRICS_PORT), f"127.0.0.1:{METRICS_PORT}",
            "Where /metrics and /proxyMode are served; empty: nowhere.", "IP:PORT"),
    Setting("sync-period", values.long_duration, "30s", "How often everything is looked at again.", "DURATION"),
    Setting("min-sync-period", values.duration, "1s", "The least time between syncs in a burst of changes; a lone "
            "change is applied at once.", "DURATION"),
    Setting("cleanup-on-exit", values.switch, "false", "Remove filters and pins when the agent ends."),
    Setting("pin-path", values.path, str(DEFAULT_PINS), "Where in the bpffs maps and programs are pinned.", "PATH"),
    _choice("unknown-port", ("pass", "reject", "drop"), "pass", "What becomes of a packet to a Service address that "
            "has no such port."),
    _choice("echo", ("answer", "drop", "pass"), "answer", "What becomes of an ICMP echo request to a Service address."),
    _timeout("tcp-timeout", DEFAULT_TIMEOUTS[FlowState.OPEN], "Idle time of an open TCP flow."),
    _timeout("tcp-half-closed-timeout", DEFAULT_TIMEOUTS[FlowState.CLIENT_CLOSED],
             "Idle time of a TCP flow that one side has closed."),
    _timeout("udp-timeout", DEFAULT_TIMEOUTS[FlowState.ANSWERED], "Idle time of an answered UDP flow."),
    _timeout("sctp-timeout", SCTP_TIMEOUT, "Idle time of an answered SCTP flow."),
    Setting("flow-table-size", values.table_size, str(MAPS["flows"].entries), "Entries of the table of answered flows, "
            "for each address family; taken when it is made.", "ENTRIES"),
    Setting("v", values.count, "0", "Verbosity of the log; from 4 on debugging.", "LEVEL"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FileSettings:
    """What a config file says."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Setting -> value as it stands in the file."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Setting -> what the file calls it, where that is something else."""
    without_effect: tuple[str, ...] = ()


def configure(flags: Mapping[str, Any], file: Path | None = None) -> AgentConfig:
    """The settings from the flags that were given (by key), the config file, and the defaults; TcnatError names the
    flag, or the file and key, that is wrong."""
    in_file = read_config_file(file) if file else FileSettings()
    chosen: dict[str, Any] = {}
    for setting in SETTINGS:
        if setting.key in flags:
            where, raw = f"--{setting.key}", flags[setting.key]
        elif setting.key in in_file.values:
            where, raw = f"{file}: {in_file.fields.get(setting.key, setting.key)}", in_file.values[setting.key]
        else:
            where, raw = f"--{setting.key}", setting.default
        try:
            chosen[setting.field] = setting.convert(raw)
        except ValueError as error:
            raise TcnatError(f"{where}: {error}") from None
    chosen["hostname_override"] = (chosen["hostname_override"].strip() or socket.gethostname()).lower()
    return AgentConfig(**chosen, without_effect=in_file.without_effect)


def read_config_file(file: Path) -> FileSettings:
    """What the file says, under the flags' names; TcnatError for an unknown key."""
    import yaml  # noqa: PLC0415  (an agent without a config file does without it)

    try:
        content = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise TcnatError(f"{file}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise TcnatError(f"{file}: {' '.join(str(error).split())}") from None
    if content is None:
        return FileSettings()
    if not isinstance(content, dict):
        raise TcnatError(f"{file}: must hold keys and values, not {type(content).__name__}")
    if content.keys() & {"apiVersion", "kind"}:
        from tcnat import kubeproxyconfig  # noqa: PLC0415

        try:
            return kubeproxyconfig.translate(content)
        except ValueError as error:
            raise TcnatError(f"{file}: {error}") from None
    return FileSettings({_known_key(str(key), file): value for key, value in content.items()})


def _known_key(key: str, file: Path) -> str:
    known = {_plain(setting.key): setting.key for setting in SETTINGS}
    if _plain(key) in known:
        return known[_plain(key)]
    import difflib  # noqa: PLC0415

    near = difflib.get_close_matches(_plain(key), known, n=1, cutoff=0.5)
    hint = f"did you mean {known[near[0]]!r}?" if near else f"known keys: {', '.join(sorted(known.values()))}"
    raise TcnatError(f"{file}: unknown key {key!r}; {hint}")


def _plain(key: str) -> str:
    """The same for ``sync-period``, ``syncPeriod`` and ``sync_period``."""
    return key.replace("-", "").replace("_", "").lower()
