"""How the Kubernetes source gets at the API server: kubeconfigs, tokens, exec plugins, certificates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tcnat.errors import TcnatError
from tcnat.objects import ObjectRef
from tcnat.sources.kubernetes import api

from .following import Following, service
from .standin import SERVICES, TOKEN, StandIn, serving, write_kubeconfig


def test_an_expired_token_is_read_again_from_the_kubeconfig(server: tuple[StandIn, Path], following: Following) -> None:
    state, kubeconfig = server
    port = int(kubeconfig.read_text().split("127.0.0.1:")[1].split()[0].strip("'\""))
    state.token = "rotated"
    write_kubeconfig(kubeconfig.parent, port, kubeconfig.parent / "server.crt", "rotated")
    state.end_watches()
    state.put(SERVICES, service("other"))
    following.until(lambda: ObjectRef("Service", "shop", "other") in following.objects, "the change")
    write_kubeconfig(kubeconfig.parent, port, kubeconfig.parent / "server.crt")


class Plugin:
    """An exec plugin that gives what is in its file ``token``, fails where there is none, and notes that it was
    asked."""

    def __init__(self, directory: Path, kubeconfig: Path) -> None:
        self.token = directory / "token"
        self._asked = directory / "asked"
        script, credential = directory / "plugin", directory / "credential"
        kind = {"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential"}
        credential.write_text(json.dumps({**kind, "status": {"token": "TOKEN"}}))
        lines = ["#!/bin/sh -e", f"echo asked >> {self._asked}", f"token=$(cat {self.token})"]
        script.write_text("\n".join([*lines, f'sed "s/TOKEN/$token/" {credential}\n']))
        script.chmod(0o755)
        config = yaml.safe_load(kubeconfig.read_text())
        config["users"][0]["user"] = {"exec": {"apiVersion": kind["apiVersion"], "command": str(script)}}
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def asked(self) -> int:
        """How often."""
        return len(self._asked.read_text().splitlines())


def test_an_exec_plugin_is_asked_once_and_again_when_its_token_has_expired(
    server: tuple[StandIn, Path], tmp_path: Path
) -> None:
    state, kubeconfig = server
    plugin = Plugin(tmp_path, kubeconfig)
    plugin.token.write_text(TOKEN)
    made = Following(plugin.kubeconfig).synced()
    state.put(SERVICES, service("other"))
    made.until(lambda: ObjectRef("Service", "shop", "other") in made.objects, "the change")
    assert plugin.asked() == 1
    plugin.token.write_text("rotated")
    state.token = "rotated"
    state.end_watches()
    state.put(SERVICES, service("third"))
    made.until(lambda: ObjectRef("Service", "shop", "third") in made.objects, "the change after the rotation")
    made.source.stop()


def test_an_exec_plugin_that_fails_is_asked_again(server: tuple[StandIn, Path], tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, server[1])
    made = Following(plugin.kubeconfig)
    made.until(lambda: made.source.problems, "the trouble")
    assert "the credentials are not accepted" in str(made.source.problems[0])
    plugin.token.write_text(TOKEN)
    made.synced()
    made.source.stop()


def test_a_kubeconfig_that_is_half_written_just_then_is_read_when_it_is_whole(
    server: tuple[StandIn, Path], following: Following
) -> None:
    state, kubeconfig = server
    whole = kubeconfig.read_text()
    kubeconfig.write_text("")
    state.token = "rotated"
    state.end_watches()

    def unread() -> int:
        return sum("cannot be read again" in str(problem) for problem in following.source.problems)

    following.until(lambda: unread() == 3, "the troubles")
    kubeconfig.write_text(whole.replace("secret", "rotated"))
    following.until(lambda: not following.source.problems, "the troubles' end")
    kubeconfig.write_text(whole)


def test_a_wrong_certificate_is_a_trouble_and_no_crash(server: tuple[StandIn, Path], tmp_path: Path) -> None:
    _, kubeconfig = server
    port = int(kubeconfig.read_text().split("127.0.0.1:")[1].split()[0].strip("'\""))
    with serving(tmp_path) as (_, _):
        wrong = write_kubeconfig(tmp_path, port, tmp_path / "server.crt")
        made = Following(wrong)
        made.until(lambda: made.source.problems, "the trouble")
        assert "certificate" in str(made.source.problems[0]).lower()
        made.source.stop()


@pytest.mark.parametrize("content", [None, "{", "apiVersion: v1\nkind: Config\n"])
def test_a_kubeconfig_that_cannot_be_used_is_one_clear_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TcnatError, match=str(path)):
        api.connect(path, None)
