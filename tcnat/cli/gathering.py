"""The parts of ``tcnat sysdump``: each a file's name and what it tells."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from tcnat.check import check
from tcnat.cli.check import plain
from tcnat.cli.running import Running, running
from tcnat.cli.version import versions
from tcnat.config import HEALTHZ_PORT, METRICS_PORT, AgentConfig
from tcnat.errors import TcnatError
from tcnat.flows import FlowFilter
from tcnat.links import Hook
from tcnat.loader import open_pinned
from tcnat.lock import holder
from tcnat.netlink import Netlink
from tcnat.notes import read_notes
from tcnat.scrub import without_secrets
from tcnat.status import read_status
from tcnat.sysdump import Part
from tcnat.tables import Output, document
from tcnat.values import Address
from tcnat.view import View, device_rows, flow_rows

MOST_FLOWS = 10_000
"""A flow table may have a million entries; so many are enough to see what they are like."""
PATIENCE = 10.0
"""Seconds that an agent may take to answer."""
_KERNEL_FACTS = (
    *("/proc/version", "/etc/os-release", "/proc/sys/kernel/unprivileged_bpf_disabled"),
    *("/proc/sys/net/core/bpf_jit_enable", "/proc/sys/net/core/bpf_jit_harden", "/proc/sys/net/ipv4/ip_forward"),
    *("/proc/sys/net/ipv6/conf/all/forwarding", "/proc/sys/net/ipv4/conf/all/rp_filter", "/proc/meminfo"),
    *("/proc/self/mounts", "/proc/self/limits", "/proc/self/status"),
)
_SYSLOG_READ_ALL, _SYSLOG_SIZE = 3, 10
_OF_BPF = re.compile(r"bpf|tcnat|clsact|verifier|tc[_ ]filter", re.IGNORECASE)


def parts(pins: Path, config_file: Path | None) -> Iterator[Part]:
    """What is gathered of the datapath at ``pins``, of its agent, of the kernel. ``config_file``: the agent's, where no
    agent runs to name it."""
    yield Part("version.txt", versions)
    yield Part("check.json", lambda: _json(plain(check(pins))))
    yield Part("status.json", lambda: _json(read_status(pins, time.monotonic())))
    yield Part("services.json", lambda: _json([row for view in _views(pins) for row in view.services()]))
    yield Part("backends.json", lambda: _json([row for view in _views(pins) for row in view.backends()]))
    yield Part("flows.json", lambda: _json(list(_flows(pins))))
    yield Part("devices.json", lambda: _json(device_rows()))
    yield Part("links.json", lambda: _json(_network()))
    yield Part("settings.json", lambda: _settings(_agent(pins)))
    yield Part("config.yaml", lambda: _config(pins, config_file))
    yield Part("healthz.json", lambda: _asked(pins, "healthz"))
    yield Part("metrics.txt", lambda: _asked(pins, "metrics"))
    yield Part("kernel.txt", _kernel)
    yield Part("kernel-log.txt", _kernel_log)


def _json(content: object) -> str:
    return document(content, Output.JSON)


def _views(pins: Path) -> Iterator[View]:
    notes = read_notes(pins)
    return (View(loaded, notes) for loaded in open_pinned(pins).values())


def _flows(pins: Path) -> Iterator[Any]:
    notes = read_notes(pins)
    for loaded in open_pinned(pins).values():
        yield from islice(flow_rows(loaded, notes, time.monotonic(), FlowFilter()), MOST_FLOWS)


def _network() -> list[dict[str, Any]]:
    """Every device with its clsact and all filters on it, tcnat's or not."""
    netlink = Netlink()
    try:
        qdiscs = {qdisc.device: asdict(qdisc) for qdisc in netlink.qdiscs()}
        return [
            {
                **asdict(link),
                "qdisc": qdiscs.get(link.index),
                "filters": [
                    {**asdict(each), "hook": each.hook.name.lower()}
                    for hook in Hook
                    for each in netlink.filters(link.index, hook)
                    if link.index in qdiscs
                ],
            }
            for link in netlink.links()
        ]
    finally:
        netlink.close()


def _agent(pins: Path) -> Running:
    pid = holder(pins)
    if not pid:
        raise TcnatError("no agent runs" if pid is None else "an agent runs, but its process id is not known")
    return running(pid)


def _settings(agent: Running) -> str:
    config = {field: _text(getattr(agent.config, field)) for field in AgentConfig.__slots__}
    return _json(without_secrets({"words": agent.words, "settings": config}))


def _text(value: Any) -> Any:
    if isinstance(value, tuple) and not isinstance(value, Address):
        return [_text(each) for each in value]
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _config(pins: Path, config_file: Path | None) -> str:
    import yaml  # noqa: PLC0415

    file = config_file or _agent(pins).config_file
    if file is None:
        return "# the agent has no config file\n"
    content = yaml.safe_load(file.read_text())
    return f"# {file}, without comments and secrets\n{document(without_secrets(content), Output.YAML)}"


def _asked(pins: Path, path: str) -> str:
    """What the agent's server says; where its settings are not known, the one at the default address."""
    try:
        address = getattr(_agent(pins).config, f"{path}_bind_address")
    except TcnatError:
        address = Address("127.0.0.1", HEALTHZ_PORT if path == "healthz" else METRICS_PORT)
    if address is None:
        raise TcnatError("the agent serves it nowhere")
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AnyStatus())
    with opener.open(f"http://{Address(local, address.port)}/{path}", timeout=PATIENCE) as answer:
        return str(answer.read().decode(errors="replace"))


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    """Takes a 503 for an answer, too."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response


def _kernel() -> str:
    lines = [" ".join(platform.uname()), f"CPUs: {os.cpu_count()}"]
    for path in map(Path, _KERNEL_FACTS):
        try:
            lines.append(f"\n{path}:\n{path.read_text().rstrip()}")
        except OSError as error:
            lines.append(f"\n{path}: {error.strerror}")
    return "\n".join(lines)


def _kernel_log() -> str:
    """The kernel's lines about bpf (syslog(2)); an OSError without the right to read them."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(max(libc.klogctl(_SYSLOG_SIZE, None, 0), 1 << 16))
    size = libc.klogctl(_SYSLOG_READ_ALL, buffer, len(buffer))
    if size < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    lines = [line for line in buffer.raw[:size].decode(errors="replace").splitlines() if _OF_BPF.search(line)]
    return "\n".join(lines) or "no line about bpf"
