"""What hinders the agent from handing packets on, as far as it can be told without a node."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import cast

import pytest

from tcnat import ipsec, netfilter
from tcnat.layout import Family
from tcnat.redirect import RedirectChoice, hindrance
from tcnat.routing import Routing


class PlainRules:
    """A node with no routing rules of its own."""

    def rule_priorities(self, family: Family) -> list[int]:
        """As every kernel has them."""
        return [0, 32766, 32767]


@pytest.fixture
def sysctls(tmp_path: Path) -> Path:
    """Of a node that forwards."""
    (tmp_path / "ipv4").mkdir()
    (tmp_path / "ipv4/ip_forward").write_text("1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            OSError(errno.EPERM, os.strerror(errno.EPERM)), "Operation not permitted", id="the kernel's error"
        ),
        pytest.param(TimeoutError("timed out"), "timed out", id="a socket's time-out has no number"),
        pytest.param(TimeoutError(), "TimeoutError", id="an error that says nothing"),
    ],
)
@pytest.mark.parametrize(
    ("module", "what"), [(netfilter, "netfilter's rules"), (ipsec, "IPsec policies")], ids=["netfilter", "IPsec"]
)
def test_what_cannot_be_read_hinders_and_says_why(
    monkeypatch: pytest.MonkeyPatch, sysctls: Path, module: object, what: str, error: OSError, said: str
) -> None:
    def fails(_: Family) -> list[str]:
        raise error

    monkeypatch.setattr(netfilter, "hooked", lambda _: [])
    monkeypatch.setattr(ipsec, "policies", lambda _: [])
    monkeypatch.setattr(module, "hooked" if module is netfilter else "policies", fails)
    found = hindrance(RedirectChoice.AUTO, Family.IPV4, cast(Routing, PlainRules()), sysctls=sysctls)
    assert found == f"{what} cannot be read: {said}"
