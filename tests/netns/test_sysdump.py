"""``tcnat sysdump`` beside a running agent: all that support needs, and no secret."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tcnat.layout import Family
from tests.cluster.standin import write_kubeconfig
from tests.lab import Lab
from tests.lab.agent import BareAgent
from tests.lab.commands import Program
from tests.lab.stage import Stage

PASSWORD, TOKEN = "hunter2-planted", "t0ken-planted"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(backends=0) as made:
        yield made


def texts(path: Path) -> dict[str, str]:
    """The archive's files by name."""
    with tarfile.open(path) as archive:
        members = [(member.name.partition("/")[2], archive.extractfile(member)) for member in archive]
        return {name: file.read().decode() for name, file in members if file}


def test_it_has_what_the_agent_and_the_kernel_tell(scene: Stage, tmp_path: Path) -> None:
    service = scene.service()
    with scene.tcp(service, Family.IPV4) as connection:
        connection.echo(b"x")
        scene.agent.tcnat("sysdump", "-o", str(tmp_path / "dump.tar.gz"))
    found = texts(tmp_path / "dump.tar.gz")
    assert found.pop("errors.txt") == "none\n"
    assert {row["name"] for row in json.loads(found["services.json"])} >= {service.name}
    assert {row["service"] if "service" in row else row["name"] for row in json.loads(found["flows.json"])} >= {
        service.name
    }
    assert json.loads(found["backends.json"])
    assert json.loads(found["status.json"])["agent_pid"] == scene.agent.program.pid
    assert json.loads(found["check.json"])["floor"] == "full"
    served = {row["device"] for row in json.loads(found["devices.json"])}
    assert {link["name"] for link in json.loads(found["links.json"]) if link["filters"]} == served
    assert json.loads(found["settings.json"])["settings"]["pin_path"] == str(scene.lab.pins)
    assert json.loads(found["healthz.json"])["healthy"]
    assert "tcnat_packets_total{" in found["metrics.txt"]
    assert found["version.txt"].startswith("tcnat ")
    assert "Linux" in found["kernel.txt"]
    assert found["kernel-log.txt"]


def test_no_secret_of_an_agent_that_cannot_start_is_in_it(lab: Lab, tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path, 1, tmp_path / "none.crt", TOKEN)
    kubeconfig.write_text(kubeconfig.read_text().replace("certificate-authority", "insecure-skip-tls-verify: true #"))
    config = tmp_path / "agent.yaml"
    config.write_text(
        yaml.safe_dump({"kubeconfig": str(kubeconfig), "master": f"https://admin:{PASSWORD}@127.0.0.1:1"})
        + f"# token: {TOKEN}\n"
    )
    agent = BareAgent(lab, ["--config", str(config)])
    agent.launch()
    program: Program = agent.program
    program.wait_for(lambda: "serving metrics" in program.output(), "the agent's servers", timeout=60)
    said = lab.node.run(*agent.version.command(), "sysdump", "-o", tmp_path / "d.tar.gz", "--pin-path", lab.pins)
    assert said.endswith("files\n")
    found = texts(tmp_path / "d.tar.gz")
    assert json.loads(found["settings.json"])["settings"]["kubeconfig"] == str(kubeconfig)
    assert yaml.safe_load(found["config.yaml"])["kubeconfig"] == str(kubeconfig)
    assert "services.json: no datapath is loaded" in found["errors.txt"]
    raw = gzip.decompress((tmp_path / "d.tar.gz").read_bytes())
    assert PASSWORD.encode() not in raw
    assert TOKEN.encode() not in raw
