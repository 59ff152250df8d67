"""Filters on real devices of real kernels, looked at with tc(8), which shares nothing with the code under test."""

from __future__ import annotations

import dataclasses
import errno
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tcnat.attach import Attacher, DeviceVanished, Programs, Role
from tcnat.bpf import Program, raise_memlock
from tcnat.errors import TcnatError
from tcnat.layout import Family
from tcnat.links import Hook, Link, NetlinkFailure
from tcnat.netlink import Netlink
from tests.lab.namespace import Namespace
from tests.netns.filtering import SHOT, UNSPEC, Loaded, instruction, program, qdiscs, shown, tc, veth_namespace

pytestmark = pytest.mark.root

needs_tun = pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="this kernel has no tun devices")
UNABLE = """
import struct
from tcnat.attach import Attacher, Programs, Role
from tcnat.bpf import Program, raise_memlock
from tcnat.errors import TcnatError
program = Program.load(struct.pack("=BBhi", 0xB7, 0, 0, -1) + struct.pack("=BBhi", 0x95, 0, 0, 0), "test")
try:
    Attacher().attach("eth0", Role.NETWORK, Programs(program.fd, program.fd))
except TcnatError as error:
    print(error)
"""


def tun_judge() -> bytes:
    """``return skb->tc_classid == 2 && skb->data[0] >> 4 == 4 ? TC_ACT_SHOT : TC_ACT_UNSPEC``."""
    mov, ldx_w, ldx_b, jne, jgt, add, rsh = 0xB7, 0x61, 0x71, 0x55, 0x2D, 0x07, 0x77
    return b"".join(
        (
            instruction(mov, 0, 0, UNSPEC),
            instruction(ldx_w, 2 | 1 << 4, 72),  # r2 = skb->tc_classid
            instruction(jne, 2, 8, 2),
            instruction(ldx_w, 3 | 1 << 4, 76),  # r3 = skb->data
            instruction(ldx_w, 4 | 1 << 4, 80),  # r4 = skb->data_end
            instruction(0xBF, 5 | 3 << 4),
            instruction(add, 5, 0, 1),
            instruction(jgt, 5 | 4 << 4, 4),
            instruction(ldx_b, 2 | 3 << 4),
            instruction(rsh, 2, 0, 4),
            instruction(jne, 2, 1, 4),
            instruction(mov, 0, 0, SHOT),
            instruction(0x95),
        )
    )


@pytest.fixture
def netns() -> Iterator[Namespace]:
    with veth_namespace("attach") as namespace:
        yield namespace


@pytest.fixture
def attacher(netns: Namespace) -> Iterator[Attacher]:
    attacher = Attacher(str(netns.path))
    yield attacher
    attacher.close()


@pytest.fixture
def loaded() -> Loaded:
    return Loaded()


@pytest.mark.parametrize(
    ("role", "egress_at", "ingress_at"), [(Role.NETWORK, "egress", "ingress"), (Role.WORKLOAD, "ingress", "egress")]
)
def test_each_role_puts_the_programs_at_its_hooks(netns, attacher, role, egress_at, ingress_at):
    loaded = Loaded()
    classid = {Role.NETWORK: "", Role.WORKLOAD: ":1"}[role]
    assert attacher.attach("eth0", role, loaded.programs) is True
    for hook, name, four, six in (
        (egress_at, "tcnat_egress", loaded.egress4, loaded.egress6),
        (ingress_at, "tcnat_ingress", loaded.ingress4, loaded.ingress6),
    ):
        assert shown(netns, "eth0", hook) == [
            (1004, "ip", "0x7c17", name, four, classid),
            (1006, "ipv6", "0x7c17", name, six, classid),
        ]


def test_the_filters_are_direct_action(netns, attacher, loaded):
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    assert netns.run("tc", "filter", "show", "dev", "eth0", "egress").count("direct-action") == 2


def test_attaching_again_changes_nothing(netns, attacher, loaded):
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    before = netns.run("tc", "filter", "show", "dev", "eth0", "egress")
    assert attacher.attach("eth0", Role.NETWORK, loaded.programs) is (loaded.egress4 == 0)
    assert netns.run("tc", "filter", "show", "dev", "eth0", "egress") == before


def test_a_device_is_found_by_its_index_too(netns, attacher, loaded):
    attacher.attach(index(netns, "eth0"), Role.NETWORK, loaded.programs)
    assert len(shown(netns, "eth0", "egress")) == 2


def test_new_programs_take_the_old_ones_places(netns, attacher, loaded):
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    newer = Loaded()
    assert attacher.attach("eth0", Role.NETWORK, newer.programs) is True
    assert [row[4] for row in shown(netns, "eth0", "egress")] == [newer.egress4, newer.egress6]
    assert [row[4] for row in shown(netns, "eth0", "ingress")] == [newer.ingress4, newer.ingress6]


def test_another_role_swaps_the_hooks(netns, attacher, loaded):
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    assert attacher.attach("eth0", Role.WORKLOAD, loaded.programs) is True
    assert [row[3] for row in shown(netns, "eth0", "ingress")] == ["tcnat_egress"] * 2
    assert [row[3] for row in shown(netns, "eth0", "egress")] == ["tcnat_ingress"] * 2


def test_a_family_that_is_no_longer_wanted_goes(netns, attacher, loaded):
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    only4 = Programs(loaded.programs.egress4, loaded.programs.ingress4)
    assert attacher.attach("eth0", Role.NETWORK, only4) is True
    assert [row[:2] for row in shown(netns, "eth0", "egress")] == [(1004, "ip")]
    assert [row[:2] for row in shown(netns, "eth0", "ingress")] == [(1004, "ip")]


def test_a_wrong_classid_is_mended(netns, attacher, loaded, tmp_path):
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    netlink = Netlink(str(netns.path))
    egress = netlink.filters(netlink.link("eth0").index, Hook.EGRESS)
    ours = next(f for f in egress if f.handle and f.priority == 1004)
    netlink.replace_filter(dataclasses.replace(ours, classid=3), loaded.programs.egress4)
    netlink.close()
    assert shown(netns, "eth0", "egress")[0][5] == ":3"
    assert attacher.attach("eth0", Role.NETWORK, loaded.programs) is True
    assert shown(netns, "eth0", "egress")[0][5] == ""


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_crash_between_the_steps_is_mended_by_the_next_attach(netns, attacher, loaded, monkeypatch, after):
    """Killed after `after` filters: the next agent completes them, and none is there twice."""
    steps = iter(range(10))
    really = Netlink.replace_filter

    def crash(self, *args):
        if next(steps) == after:
            raise KeyboardInterrupt
        really(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Netlink, "replace_filter", crash)
        with pytest.raises(KeyboardInterrupt):
            attacher.attach("eth0", Role.NETWORK, loaded.programs)
    again = Attacher(str(netns.path))
    assert again.attach("eth0", Role.NETWORK, loaded.programs) is True
    again.close()
    assert [row[:4] for row in shown(netns, "eth0", "egress")] == [
        (1004, "ip", "0x7c17", "tcnat_egress"),
        (1006, "ipv6", "0x7c17", "tcnat_egress"),
    ]
    assert len(shown(netns, "eth0", "ingress")) == 2
    assert qdiscs(netns, "eth0").count("clsact") == 1


def test_no_packet_passes_between_an_old_program_and_its_successor(netns, attacher):
    """Both drop everything; whatever arrives at the other end slipped through while neither was there."""
    droppers = [program(SHOT) for _ in range(2)]
    sets = [Programs(d.fd, d.fd) for d in droppers]
    attacher.attach("eth0", Role.NETWORK, sets[0])
    frame = bytes.fromhex("ffffffffffff 020000000001 0800") + bytes(60)
    sender = netns.socket(socket.AF_PACKET, socket.SOCK_RAW)
    receiver = netns.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    sender.bind(("eth0", 0x0800))
    receiver.bind(("peer0", 0x0800))
    receiver.settimeout(0.05)
    stop, sent = threading.Event(), [0]

    def blast() -> None:
        while not stop.is_set():
            with suppress(OSError):  # ENOBUFS: the filter dropped it
                sender.send(frame)
            sent[0] += 1

    thread = threading.Thread(target=blast)
    thread.start()
    try:
        for round in range(100):
            attacher.attach("eth0", Role.NETWORK, sets[round % 2])
    finally:
        stop.set()
        thread.join()
    assert sent[0] > 1000
    with pytest.raises(TimeoutError):
        receiver.recv(100)
    attacher.detach("eth0")
    sender.send(frame)
    assert receiver.recv(100), "the other end hears what is not dropped"


def test_the_filters_of_others_stay(netns, attacher, loaded):
    tc(netns, "qdisc add dev eth0 clsact")
    tc(netns, "filter add dev eth0 egress pref 1 protocol all u32 match u32 0 0 classid 1:7")
    tc(netns, "filter add dev eth0 egress pref 49152 protocol ip u32 match u32 0 0 classid 1:8")
    before = shown(netns, "eth0", "egress")
    assert [row[0] for row in before] == [1, 49152]
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    assert [row for row in shown(netns, "eth0", "egress") if row[0] not in (1004, 1006)] == before
    detached = attacher.detach("eth0")
    assert (detached.filters, detached.clsact) == (4, False)
    assert shown(netns, "eth0", "egress") == before


def test_filters_that_the_kernel_numbers_itself_run_later(netns, attacher, loaded):
    tc(netns, "qdisc add dev eth0 clsact")
    tc(netns, "filter add dev eth0 egress protocol ip u32 match u32 0 0 classid 1:7")
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    assert [row[0] for row in shown(netns, "eth0", "egress")] == [1004, 1006, 49152]


def test_a_root_qdisc_stays(netns, attacher, loaded):
    tc(netns, "qdisc add dev eth0 root pfifo limit 77")
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    attacher.detach("eth0")
    assert "limit 77p" in netns.run("tc", "qdisc", "show", "dev", "eth0")


@pytest.mark.parametrize(
    "other",
    [
        "filter add dev eth0 egress pref 1004 protocol ip u32 match u32 0 0 classid 1:7",
        "filter add dev eth0 egress pref 1006 protocol all u32 match u32 0 0 classid 1:7",
    ],
)
def test_a_filter_of_others_in_our_place_is_named_and_left_alone(netns, attacher, loaded, other):
    tc(netns, "qdisc add dev eth0 clsact")
    tc(netns, other)
    before = netns.run("tc", "filter", "show", "dev", "eth0", "egress")
    with pytest.raises(TcnatError, match=r"eth0 has a u32 filter .* at priority 100[46] of its egress hook"):
        attacher.attach("eth0", Role.NETWORK, loaded.programs)
    assert netns.run("tc", "filter", "show", "dev", "eth0", "egress") == before


def test_an_ingress_qdisc_of_others_is_named_and_left_alone(netns, attacher, loaded):
    tc(netns, "qdisc add dev eth0 ingress")
    with pytest.raises(TcnatError, match="eth0 has an ingress qdisc of another program"):
        attacher.attach("eth0", Role.NETWORK, loaded.programs)
    assert "ingress" in qdiscs(netns, "eth0")


@needs_tun
@pytest.mark.parametrize(
    ("mode", "role", "classid"), [("tun", Role.NETWORK, ":2"), ("tun", Role.WORKLOAD, ":3"), ("tap", Role.NETWORK, "")]
)
def test_the_classid_tells_of_a_missing_link_layer_header(netns, attacher, mode, role, classid):
    tagger = program()
    netns.run("ip", "tuntap", "add", "t0", "mode", mode)
    attacher.attach("t0", role, Programs(tagger.fd, tagger.fd))
    assert [row[5] for row in shown(netns, "t0", "egress")] == [classid]


@needs_tun
def test_the_program_sees_its_classid_and_the_ip_header_first_on_a_tun_device(netns, attacher):
    """The program of this test drops where tc_classid is 2 and the first byte is an IPv4 header's; else lets pass."""
    raise_memlock()
    judge = Program.load(tun_judge(), "judge")
    netns.run("ip", "tuntap", "add", "t0", "mode", "tun")
    netns.ip("address add 10.9.0.1/24 dev t0", "link set t0 up")
    attacher.attach("t0", Role.NETWORK, Programs(judge.fd, judge.fd))
    client = netns.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(5):
        client.sendto(b"x", ("10.9.0.2", 9))
    drops = json.loads(netns.run("tc", "-s", "-j", "qdisc", "show", "dev", "t0"))
    assert next(row["drops"] for row in drops if row["kind"] == "clsact") == 5


def test_a_loopback_device_has_a_header(netns, attacher, loaded):
    attacher.attach("lo", Role.NETWORK, loaded.programs)
    assert {row[5] for row in shown(netns, "lo", "egress")} == {""}


@pytest.mark.parametrize("device", ["nope", "a-name-that-no-device-can-have", 9999])
def test_a_device_that_is_not_there(attacher, loaded, device):
    with pytest.raises(DeviceVanished, match=f"there is no network device {device}"):
        attacher.attach(device, Role.NETWORK, loaded.programs)


@pytest.mark.parametrize("after", [0, 2])
def test_a_device_that_vanishes_meanwhile(netns, attacher, loaded, monkeypatch, after):
    steps = iter(range(10))
    really = Netlink.replace_filter

    def unplug(self, *args):
        if next(steps) == after:
            netns.ip("link del eth0")
        really(self, *args)

    monkeypatch.setattr(Netlink, "replace_filter", unplug)
    with pytest.raises(DeviceVanished, match="eth0 vanished"):
        attacher.attach("eth0", Role.NETWORK, loaded.programs)


def test_a_clsact_that_is_taken_away_meanwhile(netns, attacher, loaded, monkeypatch):
    really = Netlink.replace_filter

    def unplug(self, *args):
        netns.run("tc", "qdisc", "del", "dev", "eth0", "clsact", check=False)
        really(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Netlink, "replace_filter", unplug)
        with pytest.raises(TcnatError, match="eth0 lost its clsact"):
            attacher.attach("eth0", Role.NETWORK, loaded.programs)
    assert attacher.attach("eth0", Role.NETWORK, loaded.programs) is True


def test_without_cap_net_admin_there_is_one_clear_line(netns):
    """A child that keeps CAP_BPF alone loads, and may not attach."""
    done = subprocess.run(
        netns.command(["setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin", sys.executable, "-c", UNABLE]),
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "eth0: clsact qdisc: not permitted. Run as root, or with CAP_NET_ADMIN\n", done.stderr


def test_a_namespace_that_is_not_there():
    with pytest.raises(TcnatError, match=r"network namespace tcnat-nowhere .*: No such file"):
        Attacher("tcnat-nowhere")
    assert not Path("/run/netns/tcnat-nowhere").exists()


def test_what_retires_sits_behind_the_new_filter_and_goes_with_the_next_attach(netns, attacher, loaded):
    attacher.attach("eth0", Role.NETWORK, dataclasses.replace(loaded.programs, retiring4=loaded.programs.egress6))
    assert [row[:2] for row in shown(netns, "eth0", "ingress")] == [(1004, "ip"), (1005, "ip"), (1006, "ipv6")]
    assert shown(netns, "eth0", "ingress")[1][3:5] == ("tcnat_ingress", loaded.egress6)
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    assert [row[:2] for row in shown(netns, "eth0", "ingress")] == [(1004, "ip"), (1006, "ipv6")]


def test_what_retires_does_without_a_place_that_others_have(netns, attacher, loaded):
    tc(netns, "qdisc add dev eth0 clsact")
    tc(netns, "filter add dev eth0 ingress pref 1005 protocol ip u32 match u32 0 0 classid 1:7")
    attacher.attach("eth0", Role.NETWORK, dataclasses.replace(loaded.programs, retiring4=loaded.programs.egress6))
    assert [row[0] for row in shown(netns, "eth0", "ingress") if row[3]] == [1004, 1006]
    assert " u32 " in netns.run("tc", "filter", "show", "dev", "eth0", "ingress", "pref", "1005")


def test_detach_takes_our_filters_and_an_idle_clsact(netns, attacher, loaded):
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    detached = attacher.detach("eth0")
    assert (detached.filters, detached.clsact) == (4, True)
    assert qdiscs(netns, "eth0") == ["noqueue"]
    assert attacher.detach("eth0").filters == 0


def test_detach_leaves_a_clsact_that_is_not_ours(netns, attacher):
    tc(netns, "qdisc add dev eth0 clsact")
    assert attacher.detach("eth0").clsact is False
    assert "clsact" in qdiscs(netns, "eth0")


def test_a_filter_with_our_name_in_another_place_is_not_ours(netns, attacher, loaded):
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    netlink = Netlink(str(netns.path))
    ours = next(f for f in netlink.filters(netlink.link("eth0").index, Hook.EGRESS) if f.handle)
    netlink.replace_filter(dataclasses.replace(ours, handle=1), loaded.programs.egress4)
    netlink.close()
    attacher.detach("eth0")
    assert [row[:4] for row in shown(netns, "eth0", "egress")] == [(1004, "ip", "0x1", "tcnat_egress")]


def test_find_ours_tells_devices_roles_and_what_is_missing(netns, attacher, loaded):
    netns.ip("link add veth1 type veth peer name pod1", "link add br0 type bridge")
    attacher.attach("eth0", Role.NETWORK, loaded.programs)
    attacher.attach("veth1", Role.WORKLOAD, Programs(loaded.programs.egress4, loaded.programs.ingress4))
    attacher.attach("pod1", Role.NETWORK, loaded.programs)
    tc(netns, "filter del dev pod1 egress pref 1006")
    tc(netns, "qdisc add dev br0 clsact")
    found = {a.device: (a.role, a.families, a.complete, len(a.filters)) for a in attacher.find_ours()}
    both = (Family.IPV4, Family.IPV6)
    assert found == {
        "eth0": (Role.NETWORK, both, True, 4),
        "veth1": (Role.WORKLOAD, (Family.IPV4,), True, 2),
        "pod1": (Role.NETWORK, both, False, 3),
    }


def refusing(number: int):
    """A Netlink method whose request the kernel refuses with that errno."""

    def refuse(self, *args):
        raise NetlinkFailure("refused", number)

    return refuse


@pytest.mark.parametrize(
    ("method", "number", "line"),
    [
        pytest.param("add_clsact", errno.ENOENT, "the kernel has no clsact qdisc", id="without sch_ingress"),
        pytest.param("replace_filter", errno.ENOENT, "the kernel has no bpf filters for tc", id="without cls_bpf"),
        pytest.param("replace_filter", errno.EOPNOTSUPP, "eth0: refused", id="for a reason that nobody thought of"),
    ],
)
def test_what_the_kernel_lacks_is_said_and_nothing_is_left(netns, attacher, monkeypatch, method, number, line):
    one = program()
    monkeypatch.setattr(Netlink, method, refusing(number))
    with pytest.raises(TcnatError, match=line):
        attacher.attach("eth0", Role.NETWORK, Programs(one.fd, one.fd))
    assert qdiscs(netns, "eth0") == ["noqueue"]


def test_a_filter_that_is_not_there_afterwards_is_missed(netns, attacher, loaded, monkeypatch):
    monkeypatch.setattr(Netlink, "replace_filter", lambda *args: None)
    with pytest.raises(TcnatError, match=r"eth0: the kernel took filter tcnat_ingress .* but does not list it"):
        attacher.attach("eth0", Role.NETWORK, loaded.programs)


def test_where_program_ids_are_not_told_everything_is_written_again(netns, attacher, loaded, monkeypatch):
    """As on 4.9, whose listings and /proc tell no ids."""
    listed = Netlink.filters
    without_id = staticmethod(lambda fd: 0)
    monkeypatch.setattr("tcnat.filters._program_id", without_id)
    monkeypatch.setattr(
        Netlink, "filters", lambda self, *args: [dataclasses.replace(f, program=0) for f in listed(self, *args)]
    )
    assert attacher.attach("eth0", Role.NETWORK, loaded.programs) is True
    newer = Loaded()
    assert attacher.attach("eth0", Role.NETWORK, newer.programs) is True
    assert [row[4] for row in shown(netns, "eth0", "egress")] == [newer.egress4, newer.egress6]


def new(netns: Namespace, name: str = "eth0", type: int = 1) -> Link:
    """What news of the device would tell."""
    return Link(index(netns, name), name, type)


def index(netns: Namespace, name: str) -> int:
    found: int = json.loads(netns.run("ip", "-j", "link", "show", name))[0]["ifindex"]
    return found


class TestNewDevices:
    """``attach_new``: in two requests, where there is nothing yet; and nothing is done elsewhere."""

    @pytest.mark.parametrize("role", Role)
    def test_it_does_what_attach_does(self, netns, attacher, loaded, role):
        assert attacher.attach_new(new(netns), role, loaded.programs)
        quick = shown(netns, "eth0", "ingress"), shown(netns, "eth0", "egress")
        attacher.detach("eth0")
        attacher.attach("eth0", role, loaded.programs)
        assert (shown(netns, "eth0", "ingress"), shown(netns, "eth0", "egress")) == quick
        assert all(len(hook) == 2 for hook in quick)

    def test_many_devices_of_two_link_layers(self, netns, attacher, loaded):
        netns.ip(*(f"link add veth{n} type veth peer name pod{n}" for n in range(20)))
        for n in range(20):
            headerless = n % 3 == 0
            assert attacher.attach_new(
                new(netns, f"veth{n}", 65534 if headerless else 1), Role.NETWORK, loaded.programs
            )
            assert {row[5] for row in shown(netns, f"veth{n}", "egress")} == {":2" if headerless else ""}
        assert {len(a.filters) for a in attacher.find_ours()} == {4}

    @pytest.mark.parametrize("qdisc", ["clsact", "ingress"])
    def test_a_device_that_has_a_qdisc_of_others_is_left_alone(self, netns, attacher, loaded, qdisc):
        tc(netns, f"qdisc add dev eth0 {qdisc}")
        assert not attacher.attach_new(new(netns), Role.NETWORK, loaded.programs)
        assert shown(netns, "eth0", "egress") == []
        assert qdisc in qdiscs(netns, "eth0")

    def test_another_device_that_has_the_index_by_now_is_left_alone(self, netns, attacher, loaded):
        news = dataclasses.replace(new(netns), name="veth1")
        assert not attacher.attach_new(news, Role.WORKLOAD, loaded.programs)
        assert "clsact" not in qdiscs(netns, "eth0")

    def test_a_device_that_is_gone(self, netns, attacher, loaded):
        news = new(netns)
        netns.ip("link del eth0")
        assert not attacher.attach_new(news, Role.WORKLOAD, loaded.programs)

    def test_what_the_kernel_refuses_is_left_to_attach(self, netns, attacher, loaded):
        with Path("/dev/null").open("rb") as no_program:
            wrong = dataclasses.replace(loaded.programs, egress6=no_program.fileno())
            assert not attacher.attach_new(new(netns), Role.WORKLOAD, wrong)
            with pytest.raises(TcnatError, match="eth0"):
                attacher.attach("eth0", Role.WORKLOAD, wrong)
        assert attacher.attach("eth0", Role.WORKLOAD, loaded.programs)
        assert len(shown(netns, "eth0", "egress")) == 2
