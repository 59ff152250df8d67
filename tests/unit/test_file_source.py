"""The file source over real files and inotify; only the clock is the test's own."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tcnat.errors import TcnatError
from tcnat.sources.file import SETTLE, FileSource

QUIET = 0.3
"""Seconds without a word from the watcher after which nothing more is expected."""
PATIENCE = 10.0
"""Seconds that a busy machine may take to tell of a change."""


def service(name: str, port: object = 80, ip: str = "10.96.0.1") -> dict[str, Any]:
    """A Service as the API has it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": ip, "ports": [{"port": port, "protocol": "TCP"}]},
    }


def text(*objects: dict[str, Any]) -> str:
    """A List, as kubectl prints it with -o json."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


class Feed:
    """A started source, and the ports of the Services that it gave so far."""

    def __init__(self, *given: Path) -> None:
        self.source = FileSource(given)
        self.woken = threading.Event()
        self.source.start(self.woken.set)
        self.now = 1000.0
        self.ports: dict[str, int] = {}
        self.poll()

    def poll(self) -> dict[str, int | None]:
        """Poll once; gives what changed: name -> port, or None if it is gone."""
        changed = {}
        for ref, found in self.source.poll(self.now).items():
            changed[ref.name] = found.ports[0].port if found else None  # type: ignore[union-attr]
        self.ports = {name: port for name, port in {**self.ports, **changed}.items() if port is not None}
        return changed

    def next(self, patience: float = PATIENCE) -> dict[str, int | None]:
        """What the next changes bring that the watcher tells of; nothing if it tells of none for so long."""
        while self.woken.wait(patience):
            self.woken.clear()
            changed = self.poll()
            if changed:
                return changed
        return {}

    def quiet(self) -> dict[str, int | None]:
        """As :meth:`next`, where nothing is expected."""
        return self.next(QUIET)

    def settle(self) -> dict[str, int | None]:
        """What comes of it when the watcher has told all and SETTLE has passed."""
        changed: dict[str, int | None] = {}
        while self.woken.wait(QUIET):
            self.woken.clear()
            changed = {**changed, **self.poll()}
        self.now += SETTLE + 0.01
        return {**changed, **self.poll()}

    def resync(self) -> dict[str, int | None]:
        """What a whole resync finds, without the watcher."""
        self.source.resync(self.now)
        while self.source.deadline() == 0.0:
            self.poll()
        self.now += SETTLE + 0.01
        return self.poll()

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.source.problems]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "objects"
    folder.mkdir()
    (folder / "web.json").write_text(text(service("web", 80)))
    (folder / "dns.json").write_text(text(service("dns", 53)))
    return folder


@pytest.fixture
def feed(folder: Path) -> Iterator[Feed]:
    feed = Feed(folder)
    yield feed
    feed.source.stop()


@pytest.fixture
def feeds() -> Iterator[Any]:
    made: list[Feed] = []

    def make(*given: Path) -> Feed:
        made.append(Feed(*given))
        return made[-1]

    yield make
    for feed in made:
        feed.source.stop()


# --- what is read -----------------------------------------------------------------------------------------------------


def test_the_first_poll_gives_everything(feed: Feed) -> None:
    assert feed.ports == {"web": 80, "dns": 53}
    assert feed.source.synced
    assert feed.poll() == {}


def test_a_source_is_not_synced_before_its_first_poll(folder: Path) -> None:
    source = FileSource([folder])
    source.start(lambda: None)
    assert not source.synced
    source.stop()


def test_only_yaml_and_json_files_of_a_directory_count(folder: Path, feeds: Any) -> None:
    for name in (".hidden.json", "notes.txt", "web.json~", "4913"):
        (folder / name).write_text(text(service("other")))
    (folder / "sub").mkdir()
    (folder / "sub" / "deep.json").write_text(text(service("other")))
    (folder / "more.yml").write_text(
        "kind: Service\nmetadata: {name: api}\nspec: {clusterIP: 10.96.0.3, ports: [{port: 7}]}\n"
    )
    assert feeds(folder).ports == {"web": 80, "dns": 53, "api": 7}


def test_a_file_that_was_named_counts_whatever_it_is_called(tmp_path: Path, feeds: Any) -> None:
    (tmp_path / "services").write_text(text(service("web")))
    assert feeds(tmp_path / "services").ports == {"web": 80}


def test_a_path_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(TcnatError, match=r"no\.yaml: No such file or directory; --objects names"):
        FileSource([tmp_path / "no.yaml"]).start(lambda: None)


# --- changes ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_written_again_brings_only_what_changed(folder: Path, feed: Feed) -> None:
    (folder / "web.json").write_text(text(service("web", 8080), service("api", 9)))
    assert feed.next() == {"web": 8080, "api": 9}


def test_a_file_that_is_written_again_with_the_same_objects_brings_nothing(folder: Path, feed: Feed) -> None:
    (folder / "web.json").write_text(text(service("web", 80)) + "\n")
    assert feed.quiet() == {}


def test_an_object_that_leaves_its_file_is_gone_at_once(folder: Path, feed: Feed) -> None:
    (folder / "web.json").write_text(text(service("api", 9)))
    assert feed.next() == {"web": None, "api": 9}


def test_a_new_file_is_read(folder: Path, feed: Feed) -> None:
    (folder / "api.json").write_text(text(service("api", 9)))
    assert feed.next() == {"api": 9}


def test_an_editor_that_renames_a_new_file_over_the_old(folder: Path, feed: Feed) -> None:
    (folder / ".web.json.tmp").write_text(text(service("web", 81)))
    os.rename(folder / ".web.json.tmp", folder / "web.json")
    assert feed.next() == {"web": 81}


def test_an_editor_that_moves_the_old_file_away_first(folder: Path, feed: Feed) -> None:
    os.rename(folder / "web.json", folder / "web.json~")
    feed.woken.wait(2)
    assert feed.poll() == {}
    (folder / "web.json").write_text(text(service("web", 82)))
    assert feed.next() == {"web": 82}
    feed.now += 2 * SETTLE
    assert feed.poll() == {}
    assert feed.ports == {"web": 82, "dns": 53}


def test_an_editor_that_writes_in_pieces_is_not_read_before_it_closes(folder: Path, feed: Feed) -> None:
    whole = text(service("web", 83))
    with open(folder / "web.json", "w") as file:
        file.write(whole[:40])
        file.flush()
        assert not feed.woken.wait(0.2)
        file.write(whole[40:])
    assert feed.next() == {"web": 83}
    assert feed.problems() == []


def test_a_deleted_file_takes_its_objects_along_when_it_stays_away(folder: Path, feed: Feed) -> None:
    (folder / "web.json").unlink()
    assert feed.woken.wait(PATIENCE)
    assert feed.poll() == {}
    assert feed.source.deadline() == pytest.approx(feed.now + SETTLE)
    assert feed.settle() == {"web": None}
    assert feed.source.deadline() is None
    assert feed.problems() == []


def test_a_file_moved_into_the_directory_is_read(folder: Path, feed: Feed, tmp_path: Path) -> None:
    (tmp_path / "new.json").write_text(text(service("api", 9)))
    os.rename(tmp_path / "new.json", folder / "api.json")
    assert feed.next() == {"api": 9}


def test_a_single_file_is_followed_through_a_rename_over_it(tmp_path: Path, feeds: Any) -> None:
    (tmp_path / "all.json").write_text(text(service("web", 80)))
    feed = feeds(tmp_path / "all.json")
    (tmp_path / "beside.json").write_text(text(service("api", 9)))
    (tmp_path / "new").write_text(text(service("web", 81)))
    os.rename(tmp_path / "new", tmp_path / "all.json")
    assert feed.next() == {"web": 81}


def test_files_below_a_deeper_path_are_not_mixed_up_with_those_of_the_same_name(tmp_path: Path, feeds: Any) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.json").write_text(text(service(folder, 1)))
    feed = feeds(tmp_path / "a", tmp_path / "b" / "x.json")
    (tmp_path / "b" / "x.json").write_text(text(service("b", 2)))
    assert feed.next() == {"b": 2}


# --- symbolic links ---------------------------------------------------------------------------------------------------


def config_map(folder: Path, version: str, **files: str) -> None:
    """Write a version of a ConfigMap volume as the kubelet does: a new directory, then one rename of ``..data``."""
    (folder / f"..{version}").mkdir()
    for name, content in files.items():
        (folder / f"..{version}" / f"{name}.json").write_text(content)
    os.symlink(f"..{version}", folder / "..data_tmp")
    os.rename(folder / "..data_tmp", folder / "..data")
    for name in files:
        if not (folder / f"{name}.json").is_symlink():
            os.symlink(f"..data/{name}.json", folder / f"{name}.json")


@pytest.mark.parametrize("given", ["", "web.json"])
def test_a_config_map_is_swapped_as_a_whole(tmp_path: Path, feeds: Any, given: str) -> None:
    config_map(tmp_path, "1", web=text(service("web", 80)))
    feed = feeds(tmp_path / given)
    assert feed.ports == {"web": 80}
    config_map(tmp_path, "2", web=text(service("web", 81)))
    assert feed.next() == {"web": 81}
    config_map(tmp_path, "3", web=text(service("web", 82)))
    assert feed.next() == {"web": 82}


def test_a_file_that_leaves_a_config_map_is_gone(tmp_path: Path, feeds: Any) -> None:
    config_map(tmp_path, "1", web=text(service("web", 80)), dns=text(service("dns", 53)))
    feed = feeds(tmp_path)
    config_map(tmp_path, "2", web=text(service("web", 80)))
    (tmp_path / "dns.json").unlink()
    assert feed.settle() == {"dns": None}


def test_the_target_of_a_link_is_followed_too(tmp_path: Path, feeds: Any) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "v1.json").write_text(text(service("web", 80)))
    (tmp_path / "real" / "v2.json").write_text(text(service("web", 90)))
    os.symlink("real/v1.json", tmp_path / "link.json")
    feed = feeds(tmp_path / "link.json")
    (tmp_path / "real" / "v1.json").write_text(text(service("web", 81)))
    assert feed.next() == {"web": 81}
    os.symlink("real/v2.json", tmp_path / "new")
    os.rename(tmp_path / "new", tmp_path / "link.json")
    assert feed.next() == {"web": 90}
    (tmp_path / "real" / "v2.json").write_text(text(service("web", 91)))
    assert feed.next() == {"web": 91}


def test_a_link_to_a_directory_is_followed_to_another(tmp_path: Path, feeds: Any) -> None:
    for version, port in (("v1", 80), ("v2", 90)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "web.json").write_text(text(service("web", port)))
    os.symlink("v1", tmp_path / "current")
    feed = feeds(tmp_path / "current")
    assert feed.ports == {"web": 80}
    os.symlink("v2", tmp_path / "new")
    os.rename(tmp_path / "new", tmp_path / "current")
    assert feed.next() == {"web": 90}
    (tmp_path / "v2" / "web.json").write_text(text(service("web", 91)))
    assert feed.next() == {"web": 91}


# --- what is broken ---------------------------------------------------------------------------------------------------


def test_of_an_invalid_object_the_last_good_state_stays_and_the_others_move_on(folder: Path, feed: Feed) -> None:
    (folder / "web.json").write_text(text(service("web", 80), service("api", 9)))
    assert feed.next() == {"api": 9}
    (folder / "web.json").write_text(text(service("web", 70000), service("api", 10)))
    assert feed.next() == {"api": 10}
    assert feed.ports["web"] == 80
    [problem] = feed.problems()
    assert problem.startswith(f"{folder}/web.json: Service default/web: spec.ports[0].port: ")
    (folder / "web.json").write_text(text(service("web", 81), service("api", 10)))
    assert feed.next() == {"web": 81}
    assert feed.problems() == []


def test_an_object_that_leaves_a_file_with_an_invalid_one_is_gone(folder: Path, feed: Feed) -> None:
    (folder / "web.json").write_text(text(service("web", 80), service("api", 9)))
    feed.next()
    (folder / "web.json").write_text(text(service("web", 70000)))
    assert feed.next() == {"api": None}


@pytest.mark.parametrize("content", ["", " \n", '{"kind": "List", "items": [', "a: [\n", '{"kind": "List"} x'])
def test_a_broken_file_keeps_its_last_good_state(folder: Path, feed: Feed, content: str) -> None:
    (folder / "web.json").write_text(content)
    assert feed.settle() == {}
    [problem] = feed.problems()
    assert problem.startswith(f"{folder}/web.json")
    assert "\n" not in problem
    assert feed.ports == {"web": 80, "dns": 53}
    (folder / "web.json").write_text(text(service("web", 81)))
    assert feed.next() == {"web": 81}
    assert feed.problems() == []


def test_what_is_good_in_a_partly_broken_file_counts(folder: Path, feed: Feed) -> None:
    good = json.dumps(service("api", 9))
    (folder / "web.json").write_text(f"---\n{good}\n---\na: [\n")
    assert feed.settle() == {"api": 9}
    assert feed.ports == {"web": 80, "dns": 53, "api": 9}
    assert len(feed.problems()) == 1


def test_a_broken_file_is_a_problem_only_when_it_stays_so(folder: Path, feed: Feed) -> None:
    (folder / "web.json").write_text('{"kind":')
    assert feed.woken.wait(PATIENCE)
    feed.poll()
    assert feed.problems() == []
    feed.settle()
    assert len(feed.problems()) == 1


def test_problems_are_logged_once_for_each_change(folder: Path, feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tcnat")
    (folder / "web.json").write_text(text(service("web", 70000)))
    feed.next()
    feed.resync()
    feed.resync()
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "Service default/web: spec.ports[0].port" in errors[0]
    (folder / "web.json").write_text(text(service("web", 70000), service("api", 9)))
    assert feed.next() == {"api": 9}
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 1
    (folder / "web.json").write_text(text(service("web", 80)))
    feed.next()
    assert f"{folder}/web.json is in order again" in caplog.text


def test_thousands_of_problems_are_few_lines_in_the_log(
    folder: Path, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "web.json").write_text(text(*(service(f"s{number}", 70000) for number in range(3000))))
    feed.next()
    assert len(feed.problems()) == 3000
    assert len(caplog.records) == 11
    assert caplog.records[-1].getMessage().endswith("and 2990 more")


def test_a_file_that_may_not_be_read_is_a_problem(folder: Path, feeds: Any) -> None:
    os.symlink("loop.json", folder / "loop.json")
    feed = feeds(folder)
    assert feed.ports == {"web": 80, "dns": 53}
    assert feed.problems() == [f"{folder}/loop.json: Too many levels of symbolic links"]


def test_what_is_no_file_is_a_problem_and_blocks_nothing(folder: Path, feeds: Any) -> None:
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    feed = feeds(folder)
    assert feed.ports == {"web": 80, "dns": 53}
    assert feed.problems() == [
        f"{folder}/folder.json: Is a directory",
        f"{folder}/pipe.json: is not a regular file",
    ]


# --- directories that go ----------------------------------------------------------------------------------------------


def test_when_the_directory_goes_its_objects_stay_until_it_is_back(folder: Path, feed: Feed, tmp_path: Path) -> None:
    os.rename(folder, tmp_path / "away")
    assert feed.settle() == {}
    assert feed.resync() == {}
    assert [problem for problem in feed.problems() if "stay as they were" in problem]
    assert feed.ports == {"web": 80, "dns": 53}
    (tmp_path / "away" / "web.json").write_text(text(service("web", 81)))
    os.rename(tmp_path / "away", folder)
    assert feed.next() == {"web": 81}
    assert feed.problems() == []
    (folder / "dns.json").write_text(text(service("dns", 54)))
    assert feed.next() == {"dns": 54}


def test_a_directory_that_is_made_anew_is_followed(folder: Path, feed: Feed) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    feed.settle()
    assert feed.ports == {"web": 80, "dns": 53}
    folder.mkdir()
    feed.settle()
    (folder / "api.json").write_text(text(service("api", 9)))
    feed.next()
    feed.settle()
    assert feed.ports == {"api": 9}


def test_a_directory_that_another_took_the_place_of_is_followed(folder: Path, feed: Feed, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "new")
    os.rename(folder, tmp_path / "old")
    os.rename(tmp_path / "new", folder)
    feed.settle()
    (folder / "dns.json").write_text(text(service("dns", 54)))
    assert feed.next() == {"dns": 54}


# --- one object in two files ------------------------------------------------------------------------------------------


def test_of_an_object_in_two_files_the_later_file_wins(tmp_path: Path, feeds: Any) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.json").write_text(text(service("web", 1), service("dns", 1)))
    (tmp_path / "d" / "b.json").write_text(text(service("web", 2)))
    (tmp_path / "0.json").write_text(text(service("dns", 3)))
    feed = feeds(tmp_path / "d", tmp_path / "0.json")
    assert feed.ports == {"web": 2, "dns": 3}
    (tmp_path / "d" / "a.json").write_text(text(service("web", 9), service("dns", 9)))
    assert feed.quiet() == {}
    (tmp_path / "d" / "b.json").write_text(text(service("web", 2), service("api", 2)))
    assert feed.next() == {"api": 2}
    (tmp_path / "d" / "a.json").write_text(text(service("web", 9), service("dns", 9), service("api", 9)))
    assert feed.quiet() == {}
    (tmp_path / "d" / "b.json").unlink()
    assert feed.settle() == {"web": 9, "api": 9}
    (tmp_path / "0.json").unlink()
    assert feed.settle() == {"dns": 9}


# --- resync -----------------------------------------------------------------------------------------------------------


def test_a_resync_finds_what_the_watcher_missed(folder: Path, feeds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcnat.sources.watch.Watcher.follow", lambda self, directories: None)
    feed = feeds(folder)
    (folder / "web.json").write_text(text(service("web", 81)))
    (folder / "dns.json").unlink()
    (folder / "api.json").write_text(text(service("api", 9)))
    assert feed.resync() == {"web": 81, "dns": None, "api": 9}
    assert feed.resync() == {}


def test_a_resync_in_the_middle_of_a_long_write_waits_for_its_end(folder: Path, feed: Feed) -> None:
    (folder / "web.json").write_text(text(service("web", 80), service("api", 9)))
    assert feed.next() == {"api": 9}
    with open(folder / "web.json", "w") as file:
        file.write(json.dumps(service("web", 81)) + "\n")
        file.flush()
        feed.source.resync(feed.now)
        while feed.source.deadline() == 0.0:
            feed.poll()
        file.write(json.dumps(service("other", 1)) + "\n")
        file.flush()
        feed.now += SETTLE + 0.01
        assert feed.poll() == {}
        file.write(json.dumps(service("api", 10)))
    assert feed.next() == {"web": 81, "other": 1, "api": 10}


def test_a_resync_reads_nothing_that_did_not_change(folder: Path, feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("tcnat.sources.file.read", refuse)
    assert feed.resync() == {}


def test_a_resync_of_many_files_lets_changes_through(tmp_path: Path, feeds: Any) -> None:
    for number in range(3500):
        (tmp_path / f"{number:04}.json").write_text(text())
    (tmp_path / "web.json").write_text(text(service("web", 80)))
    feed = feeds(tmp_path)
    feed.source.resync(feed.now)
    feed.poll()
    assert feed.source.deadline() == 0.0
    (tmp_path / "web.json").write_text(text(service("web", 81)))
    assert feed.woken.wait(PATIENCE)
    assert feed.poll() == {"web": 81}
    polls = 0
    while feed.source.deadline() == 0.0:
        feed.poll()
        polls += 1
    assert 1 <= polls <= 4


def test_without_inotify_it_is_said_once_and_the_resync_does_it(
    folder: Path, feeds: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr("tcnat.sources.watch.InotifyObserver.schedule", none_left)
    feed = feeds(folder)
    feed.resync()
    said = [record.getMessage() for record in caplog.records if "cannot watch" in record.getMessage()]
    assert len(said) == 2  # the directory and the one above it
    assert "inotify watch limit reached; changes are seen at each resync" in said[0]
    (folder / "web.json").write_text(text(service("web", 81)))
    assert feed.resync() == {"web": 81}
