"""The agent's settings: flags, config file, defaults."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from tcnat.config import SETTINGS, AgentConfig, configure
from tcnat.errors import TcnatError
from tcnat.values import Address


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent.yaml"


def test_the_table_and_the_config_name_the_same_settings() -> None:
    assert {setting.field for setting in SETTINGS} == {field.name for field in fields(AgentConfig)} - {"without_effect"}


def test_defaults_are_those_of_kube_proxy() -> None:
    config = configure({})
    assert config.healthz_bind_address == Address("127.0.0.1", 10256)
    assert config.metrics_bind_address == Address("127.0.0.1", 10249)
    assert (config.sync_period, config.min_sync_period) == (30.0, 1.0)
    assert config.masquerade_all is False
    assert config.pin_path == Path("/sys/fs/bpf/tcnat")
    assert (config.unknown_port, config.echo) == ("pass", "answer")


def test_every_setting_can_be_a_key_of_the_file(file: Path) -> None:
    file.write_text(
        """
        datapath: tc
        objects: [/etc/objects, "/etc/a,b.yaml"]
        kubeconfig: /etc/kubeconfig
        master: https://192.0.2.1:6443
        service-proxy-name: tcnat
        network-device: eth0
        workload-device: ["veth*", "cali*"]
        hostname-override: Node-7
        cluster-cidr: 10.244.0.0/16,fd00::/48
        masquerade-all: true
        nodeport-addresses: [primary, 192.168.0.0/24]
        healthz-bind-address: 0.0.0.0:10256
        metrics-bind-address: ""
        sync-period: 1m
        min-sync-period: 0s
        cleanup-on-exit: yes
        pin-path: /sys/fs/bpf/other
        unknown-port: reject
        echo: drop
        redirect: "on"
        redirect-peer: "off"
        tcp-timeout: 2h
        tcp-half-closed-timeout: 10m
        udp-timeout: 40s
        sctp-timeout: 1h
        flow-table-size: 4096
        v: 4
        """
    )
    assert configure({}, file) == AgentConfig(
        datapath="tc",
        objects=(Path("/etc/objects"), Path("/etc/a,b.yaml")),
        kubeconfig=Path("/etc/kubeconfig"),
        master="https://192.0.2.1:6443",
        service_proxy_name="tcnat",
        network_device=("eth0",),
        workload_device=("veth*", "cali*"),
        redirect="on",
        redirect_peer="off",
        hostname_override="node-7",
        cluster_cidr=("10.244.0.0/16", "fd00::/48"),
        masquerade_all=True,
        nodeport_addresses=("primary", "192.168.0.0/24"),
        healthz_bind_address=Address("0.0.0.0", 10256),
        metrics_bind_address=None,
        sync_period=60.0,
        min_sync_period=0.0,
        cleanup_on_exit=True,
        pin_path=Path("/sys/fs/bpf/other"),
        unknown_port="reject",
        echo="drop",
        tcp_timeout=7200.0,
        tcp_half_closed_timeout=600.0,
        udp_timeout=40.0,
        sctp_timeout=3600.0,
        flow_table_size=4096,
        v=4,
    )


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(file: Path) -> None:
    file.write_text("sync-period: 1m\nmin-sync-period: 2s\n")
    config = configure({"sync-period": "45s"}, file)
    assert (config.sync_period, config.min_sync_period, config.datapath) == (45.0, 2.0, "auto")


@pytest.mark.parametrize("key", ["syncPeriod", "sync_period", "sync-period"])
def test_the_spelling_of_kube_proxys_file_is_taken(file: Path, key: str) -> None:
    others = "healthzBindAddress: 127.0.0.1:1\nclusterCIDR: 10.0.0.0/8\nnodePortAddresses: [primary]\n"
    file.write_text(f"{key}: 7s\n{others}")
    config = configure({}, file)
    assert config.sync_period == 7.0
    assert config.healthz_bind_address == Address("127.0.0.1", 1)
    assert config.cluster_cidr == ("10.0.0.0/8",)
    assert config.nodeport_addresses == ("primary",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sync-perod: 1s", "unknown key 'sync-perod'; did you mean 'sync-period'?"),
        ("objekts: a", "unknown key 'objekts'; did you mean 'objects'?"),
        ("zzz: 1", "unknown key 'zzz'; known keys: cleanup-on-exit, "),
        ("sync-period: 5x", "sync-period: '5x' is not a duration; write it as 30s, 1m30s or 500ms"),
        ("sync-period: 30", "sync-period: '30' is not a duration"),
        ("sync-period:", "sync-period: is empty"),
        ("masquerade-all: 7", "masquerade-all: '7' is neither true nor false"),
        ("objects: {a: b}", "objects: must be a plain value, not dict"),
        ("objects: [[a]]", "objects: must be a plain value, not list"),
        ("sync-period: [1s]", "sync-period: must be a plain value, not list"),
        ("- a", "must hold keys and values, not list"),
        ("a: [", "while parsing"),
        ("datapath: iptables", "datapath: 'iptables' is not one of auto, tc"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line_that_names_it(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(TcnatError) as error:
        configure({}, file)
    assert str(error.value).startswith(f"{file}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_flag_that_is_wrong_is_named() -> None:
    with pytest.raises(TcnatError, match=r"^--tcp-timeout: '0' is too short"):
        configure({"tcp-timeout": "0"})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TcnatError, match=r"no\.yaml: No such file"):
        configure({}, tmp_path / "no.yaml")


def test_an_empty_file_sets_nothing(file: Path) -> None:
    file.write_text("# nothing\n")
    assert configure({}, file) == configure({})
