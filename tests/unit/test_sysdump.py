"""An archive of parts, of which some fail."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tcnat.errors import TcnatError
from tcnat.sysdump import Gathered, Part, gather, pack

PLANTED = "hunter2-planted"


def broken(error: Exception) -> str:
    raise error


def test_a_part_that_fails_is_noted_and_the_others_are_kept() -> None:
    gathered = gather(
        [
            Part("first.txt", lambda: "one\n"),
            Part("second.txt", lambda: broken(TcnatError(f"cannot: token={PLANTED}"))),
            Part("third.txt", lambda: broken(ZeroDivisionError("division by zero"))),
            Part("fourth.txt", lambda: f"password: {PLANTED}"),
        ]
    )
    assert gathered.texts == {"first.txt": "one\n", "fourth.txt": "password: (removed)\n"}
    assert gathered.failures == (
        "second.txt: cannot: token=(removed)",
        "third.txt: ZeroDivisionError: division by zero",
    )


def test_the_archive_has_every_text_and_the_failures_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "dump.tar.gz"
    pack(Gathered({"a.txt": "ä\n"}, ("b.txt: gone",)), path, 1_700_000_000)
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        texts = {member.name: archive.extractfile(member) for member in archive}
        assert {name: file.read().decode() for name, file in texts.items() if file} == {
            "dump/a.txt": "ä\n",
            "dump/errors.txt": "b.txt: gone\n",
        }


def test_an_archive_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TcnatError, match="cannot be written: No such file or directory"):
        pack(Gathered({}, ()), tmp_path / "none" / "dump.tar.gz", 0)
