"""KubeProxyConfiguration files as settings. The first is as kubeadm writes it, all fields spelled out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from tcnat import agent
from tcnat.config import AgentConfig, configure
from tcnat.errors import TcnatError
from tcnat.values import Address

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
BY_KUBEADM = """
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16,fd00:244::/56
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
kind: KubeProxyConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.conf"


def test_kubeadms_file_gives_the_kubeconfig_and_the_pods_networks(file: Path) -> None:
    file.write_text(BY_KUBEADM)
    config = configure({}, file)
    assert config.kubeconfig == Path("/var/lib/kube-proxy/kubeconfig.conf")
    assert config.cluster_cidr == ("10.244.0.0/16", "fd00:244::/56")
    assert config.without_effect == ("bindAddress", "logging.options")
    others = configure({"kubeconfig": str(config.kubeconfig), "cluster-cidr": config.cluster_cidr})
    names = [name for name in AgentConfig.__slots__ if name != "without_effect"]
    assert [getattr(config, name) for name in names] == [getattr(others, name) for name in names]


@pytest.mark.parametrize(
    ("content", "field", "value"),
    [
        ("clientConnection: {kubeconfig: /etc/k}", "kubeconfig", Path("/etc/k")),
        ("hostnameOverride: Node-7", "hostname_override", "node-7"),
        ("clusterCIDR: 10.0.0.0/8", "cluster_cidr", ("10.0.0.0/8",)),
        ("healthzBindAddress: 0.0.0.0:10256", "healthz_bind_address", Address("0.0.0.0", 10256)),
        ("metricsBindAddress: '[::1]:9'", "metrics_bind_address", Address("::1", 9)),
        ("nodePortAddresses: [10.1.2.3/16]", "nodeport_addresses", ("10.1.0.0/16",)),
        ("nodePortAddresses: [primary]", "nodeport_addresses", ("primary",)),
        ("nodePortAddresses: [localhost]", "nodeport_addresses", ("127.0.0.0/8", "::1/128")),
        ("nodePortAddresses: [all, primary]", "nodeport_addresses", ("0.0.0.0/0", "::/0", "primary")),
        ("conntrack: {tcpEstablishedTimeout: 2h0m0s}", "tcp_timeout", 7200.0),
        ("conntrack: {tcpCloseWaitTimeout: 5m}", "tcp_half_closed_timeout", 300.0),
        ("conntrack: {udpStreamTimeout: 40s}", "udp_timeout", 40.0),
        ("logging: {verbosity: 4}", "v", 4),
        ("iptables: {syncPeriod: 7s}", "sync_period", 7.0),
        ("iptables: {minSyncPeriod: 100ms}", "min_sync_period", 0.1),
        ("iptables: {masqueradeAll: true}", "masquerade_all", True),
        ("{mode: ipvs, ipvs: {syncPeriod: 7s}}", "sync_period", 7.0),
        ("{mode: ipvs, ipvs: {minSyncPeriod: 7s}}", "min_sync_period", 7.0),
        ("{mode: ipvs, iptables: {masqueradeAll: true}}", "masquerade_all", True),
        ("{mode: nftables, nftables: {syncPeriod: 7s}}", "sync_period", 7.0),
        ("{mode: nftables, nftables: {masqueradeAll: true}}", "masquerade_all", True),
        ("{mode: userspace, iptables: {syncPeriod: 7s}}", "sync_period", 7.0),
    ],
)
def test_a_field_that_applies_is_a_setting(file: Path, content: str, field: str, value: Any) -> None:
    write(file, content)
    config = configure({}, file)
    assert getattr(config, field) == value
    assert set(config.without_effect) <= {"mode"}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{}", ()),
        ("mode: ipvs", ("mode",)),
        ("{mode: ipvs, iptables: {syncPeriod: 7s}}", ("iptables.syncPeriod", "mode")),
        ("{mode: nftables, iptables: {masqueradeAll: true}}", ("iptables.masqueradeAll", "mode")),
        ("ipvs: {syncPeriod: 7s, scheduler: rr, strictARP: false}", ("ipvs.scheduler", "ipvs.syncPeriod")),
        ("featureGates: {Any: true}", ("featureGates",)),
        ("clientConnection: {qps: 5, burst: 10}", ("clientConnection.burst", "clientConnection.qps")),
        ("conntrack: {maxPerCore: 32768, max: 0, tcpBeLiberal: true}",
         ("conntrack.maxPerCore", "conntrack.tcpBeLiberal")),
        ("{oomScoreAdj: -999, udpIdleTimeout: 250ms}", ("oomScoreAdj", "udpIdleTimeout")),
        ("{detectLocalMode: BridgeInterface, detectLocal: {bridgeInterface: br0}}",
         ("detectLocal.bridgeInterface", "detectLocalMode")),
        ("winkernel: null", ()),
    ],
)  # fmt: skip
def test_a_field_that_does_not_apply_is_named(file: Path, content: str, named: tuple[str, ...]) -> None:
    write(file, content)
    config = configure({}, file)
    assert config.without_effect == named
    assert (config.sync_period, config.masquerade_all) == (30.0, False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD + "clusterCDIR: 10.0.0.0/8",
         "unknown field 'clusterCDIR' in KubeProxyConfiguration; did you mean 'clusterCIDR'?"),
        (HEAD + "iptables: {syncPerod: 1s}", "unknown field 'syncPerod' in iptables; did you mean 'syncPeriod'?"),
        (HEAD + "network-device: eth0",
         "unknown field 'network-device': KubeProxyConfiguration has no such field; tcnat's own settings are flags"),
        (HEAD + "ipvs: {masqueradeBit: 3}", "unknown field 'masqueradeBit': ipvs has no such field"),
        (HEAD + "7: a", "unknown field '7'"),
        (HEAD + "iptables: [a]", "iptables: must hold fields, not list"),
        (HEAD + "iptables: {syncPeriod: 5x}", "iptables.syncPeriod: '5x' is not a duration"),
        (HEAD + "conntrack: {tcpEstablishedTimeout: 10ms}", "conntrack.tcpEstablishedTimeout: '10ms' is too short"),
        (HEAD + "nodePortAddresses: [everywhere]", "nodePortAddresses: 'everywhere' is not a network"),
        (HEAD + "clusterCIDR: {a: b}", "clusterCIDR: must be a plain value, not dict"),
        (HEAD + "mode: kernelspace", "mode: 'kernelspace' is not one of iptables, ipvs, nftables, userspace"),
        (HEAD + "mode: [ipvs]", "mode: ['ipvs'] is not one of"),
        ("kind: KubeProxyConfiguration",
         "is None KubeProxyConfiguration; of API objects only kubeproxy.config.k8s.io/v1alpha1 "),
        ("apiVersion: kubeproxy.config.k8s.io/v1alpha2\nkind: KubeProxyConfiguration",
         "is kubeproxy.config.k8s.io/v1alpha2 "),
        ("apiVersion: v1\nkind: ConfigMap", "is v1 ConfigMap; "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_that_names_file_and_field(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(TcnatError) as error:
        configure({}, file)
    assert str(error.value).startswith(f"{file}: {message}")
    assert "\n" not in str(error.value)


def test_a_flag_wins_over_the_file(file: Path) -> None:
    write(file, "iptables: {syncPeriod: 7s}")
    assert configure({"sync-period": "9s"}, file).sync_period == 9.0


def test_what_has_no_effect_is_told_in_one_line_of_the_log(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(file, "{oomScoreAdj: -999, mode: ipvs}")
    with caplog.at_level(logging.WARNING):
        agent.check(configure({"objects": ["a.yaml"], "network-device": ["eth0"]}, file))
    assert caplog.messages == ["of the KubeProxyConfiguration these have no effect: mode, oomScoreAdj"]


def write(file: Path, content: str) -> None:
    """A file with these fields, given in one line: ``field: value`` or ``{field: value, field: value}``."""
    fields = content if content.startswith("{") else f"{{{content}}}"
    file.write_text(json.dumps({**yaml.safe_load(HEAD), **yaml.safe_load(fields)}))
