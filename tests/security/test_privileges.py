"""The agent with the rights that docs/security.md lists and no other, on a file system that it may not write to."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tcnat.errors import TcnatError
from tcnat.rights import check_rights, effective
from tests.lab import Lab
from tests.lab.agent import HEALTH_PORT, METRICS_PORT, BareAgent
from tests.lab.versions import CHECKOUT, REPOSITORY, Installed

from .confined import READ_ONLY, at_work, listed, listed_here, only, serve

pytestmark = pytest.mark.root

NUMBERS = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24, "CAP_PERFMON": 38, "CAP_BPF": 39}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(backends=1) as made:
        yield made


def granted(manifest: Path) -> frozenset[str]:
    """The capabilities that a DaemonSet, or a patch of one, adds."""
    (content,) = yaml.safe_load_all(manifest.read_text())
    if isinstance(content, list):
        names = next(each["value"] for each in content if each["path"].endswith("/capabilities/add"))
    else:
        capabilities = content["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"]
        assert capabilities["drop"] == ["ALL"]
        names = capabilities["add"]
    return frozenset(f"CAP_{name}" for name in names)


def test_the_manifests_grant_what_the_document_lists() -> None:
    deploy = REPOSITORY / "deploy"
    newer = [granted(deploy / "components" / f"linux-{release}" / "capabilities.yaml") for release in ("5.11", "5.8")]
    assert [*newer, granted(deploy / "base" / "daemonset.yaml")] == listed()


@pytest.mark.parametrize("capabilities", [listed_here(), listed()[-1]], ids=lambda names: "+".join(sorted(names)))
def test_it_serves_with_exactly_the_capabilities_that_the_document_lists(
    lab: Lab, capabilities: frozenset[str]
) -> None:
    """Those of the oldest kernels do on newer ones, too. More than the tests have themselves cannot be given."""
    with at_work(lab, only(capabilities)) as scene:
        held = effective(Path(f"/proc/{scene.agent.program.pid}/status"))
        assert held == sum(1 << NUMBERS[name] for name in capabilities) & effective()
        serve(scene)


def test_whether_packets_go_past_devices_can_be_told_with_cap_sys_admin(lab: Lab) -> None:
    """With that of the oldest kernels' list; without it the check says what it lacks."""

    def told(version: Installed) -> dict[str, str]:
        said = json.loads(lab.node.run(*version.command(), "check", "-o", "json"))
        (found,) = [each for each in said["features"] if each["name"] == "arrivals"]
        return {key: found[key] for key in ("state", "detail")}

    assert told(only(listed()[-1])) == told(Installed(tuple(CHECKOUT.command())))
    if "CAP_SYS_ADMIN" not in listed_here():
        assert told(only(listed_here())) == {
            "state": "not tried",
            "detail": "cannot make a network namespace: Operation not permitted",
        }


@pytest.mark.parametrize("missing", sorted(listed_here()))
def test_without_any_one_of_them_it_ends_with_one_line_that_names_it(lab: Lab, missing: str) -> None:
    agent = BareAgent(lab, ["--objects", str(lab.files)], only(listed_here() - {missing}))
    agent.launch()
    assert agent.program.wait(60) == 1
    assert re.fullmatch(rf"tcnat: this process lacks {missing}: run as root, or with [^\n]+\n", agent.program.output())


@pytest.mark.parametrize(
    ("held", "last", "lacking"),
    [
        (0, 40, "CAP_NET_ADMIN and CAP_BPF and CAP_PERFMON"),
        (1 << 12, 37, "CAP_SYS_ADMIN"),
        (1 << 21, 37, "CAP_NET_ADMIN"),
        (1 << 12 | 1 << 39, 40, "CAP_PERFMON"),
    ],
)
def test_what_is_lacking_is_named_for_each_kernel(tmp_path: Path, held: int, last: int, lacking: str) -> None:
    status, last_cap = tmp_path / "status", tmp_path / "last"
    status.write_text(f"Name:\tx\nCapEff:\t{held:016x}\n")
    last_cap.write_text(f"{last}\n")
    with pytest.raises(TcnatError, match=f"lacks {lacking}: run as root"):
        check_rights(status, last_cap)


def test_it_writes_nowhere_but_to_its_pins_its_lock_and_its_cache(lab: Lab) -> None:
    words = ("unshare", "--mount", "sh", "-c", READ_ONLY, "sh", *CHECKOUT.command())
    with at_work(lab, Installed(words)) as scene:
        serve(scene)
        ours = {path.suffix for path in Path("/run/tcnat").iterdir() if lab.pins.name in path.name}
        assert ours == {".lock", ".json"}


def test_pins_and_cache_are_for_root_alone(lab: Lab) -> None:
    with at_work(lab, Installed(tuple(CHECKOUT.command()))):
        directories = [lab.pins, *(path for path in lab.pins.rglob("*") if path.is_dir()), Path("/var/cache/tcnat")]
        assert len(directories) > 3
        modes = {str(path): stat.filemode(path.stat().st_mode) for path in directories}
        assert set(modes.values()) == {"drwx------"}, modes


@pytest.mark.parametrize(
    ("health", "metrics", "expected"),
    [
        (None, None, {f"127.0.0.1:{HEALTH_PORT}", f"127.0.0.1:{METRICS_PORT}"}),
        ("127.0.0.1:10256", "", {"127.0.0.1:10256"}),
        ("[::1]:10256", "127.0.0.1:1", {"[::1]:10256", "127.0.0.1:1"}),
        ("", "", set()),
    ],
)
def test_it_listens_where_it_is_told_and_nowhere_else(
    lab: Lab, health: str | None, metrics: str | None, expected: set[str]
) -> None:
    told = {"--healthz-bind-address": health, "--metrics-bind-address": metrics}
    options = [word for flag, value in told.items() if value is not None for word in (flag, value)]
    agent = BareAgent(lab, ["--objects", str(lab.files), *options])
    agent.launch()
    program = agent.program
    try:
        program.wait_for(lambda: " ready after " in program.output(), "the agent to be ready", timeout=60)
        lines = lab.node.run("ss", "-Hltunp").splitlines()
        assert {line.split()[4] for line in lines if f"pid={program.pid}," in line} == expected
    finally:
        agent.stop()
