"""The flags of ``tcnat agent`` and the small commands: what they come to, and what people read when they are wrong."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tcnat import __version__, agent
from tcnat.cli import COMMANDS, main
from tcnat.config import SETTINGS, AgentConfig


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[AgentConfig]:
    """The configurations that an agent was to run with."""
    configs: list[AgentConfig] = []
    monkeypatch.setattr(agent, "run", configs.append)
    return configs


def run(*words: str) -> int:
    """Run ``tcnat`` with these words; its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


def test_lists_come_several_at_once_again_and_with_commas(started: list[AgentConfig]) -> None:
    assert run("agent", "--objects", "a,1.yaml", "b", "--network-device", "eth0,eth1", "--objects=c") == 0
    [config] = started
    assert config.objects == (Path("a,1.yaml"), Path("b"), Path("c"))
    assert config.network_device == ("eth0", "eth1")


def test_switches_stand_alone_or_have_a_value(started: list[AgentConfig]) -> None:
    run("agent", "--masquerade-all", "--cleanup-on-exit=false", "--objects", "a", "b")
    assert started[0].masquerade_all is True
    assert started[0].cleanup_on_exit is False
    assert len(started[0].objects) == 2


def test_a_flag_wins_over_the_config_file(started: list[AgentConfig], tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("objects: [x]\nsync-period: 1m\nv: 4\n")
    run("agent", "--config", str(file), "--sync-period=10s")
    assert (started[0].objects, started[0].sync_period, started[0].v) == ((Path("x"),), 10.0, 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sync-period", "5"], "tcnat: --sync-period: '5' is not a duration; write it as 30s, 1m30s or 500ms"),
        (["--metrics-bind-address", "here"], "tcnat: --metrics-bind-address: 'here' is not an address to listen at"),
        (["--config", "/no/such.yaml"], "tcnat: /no/such.yaml: No such file or directory"),
        (["--datapath", "iptables"], "tcnat: --datapath: 'iptables' is not one of auto, tc\n"),
        (["--masquerade-all=maybe"], "tcnat: --masquerade-all: 'maybe' is neither true nor false\n"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(
    started: list[AgentConfig], capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run("agent", *words) != 0
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert started == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing tells of Services: give --objects FILE... or "),
        (["--network-device", "eth0"], "nothing tells of Services: give --objects FILE... or "),
        (["--objects", "a"], "no device to serve: give --network-device NAME... or --workload-device PATTERN..."),
    ],
)
def test_an_agent_with_nothing_to_do_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert run("agent", *words) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tcnat: {message}")


def test_the_help_names_every_setting_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("agent", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for setting in SETTINGS:
        assert f"--{setting.key}" in text
    assert "[default: 127.0.0.1:10256]" in text
    assert "Examples:" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_know_the_command(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert run("completion", shell) == 0
    assert "_TCNAT_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "offered"),
    [("tcnat agent --sy", {"--sync-period"}), ("tcnat agent --unknown-port ", {"pass", "reject", "drop"})],
)
def test_completion_offers_flags_and_their_values(words: str, offered: set[str]) -> None:
    at = str(words.count(" "))
    environment = {"_TCNAT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": at}
    code = "from tcnat.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == offered


def test_version_tells_tcnat_bcc_and_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("version") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["tcnat", "bcc", "kernel"]
    assert lines[0][1] == __version__
    assert lines[2][1] == platform.release()


def test_the_agent_imports_nothing_heavy() -> None:
    code = (
        "import sys, tcnat.agent; "
        "print(*[name for name in ('bcc', 'numpy', 'scapy', 'kubernetes', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("agent", "completion", "version"):
        assert name in COMMANDS
        assert run(name, "--help") == 0
        assert "tcnat " + name in capsys.readouterr().out.split("Example", 1)[1]
