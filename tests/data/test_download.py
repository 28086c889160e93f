from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import numpy as np
import pytest
from file_server import Behaviour, serving
from filelock import FileLock

from hybridq.data.sources.support import download as module
from hybridq.data.sources.support.download import download
from hybridq.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


def fetch(url: str, target: Path, md5: str | None = MD5) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    download(url, target, md5=md5, received=lambda here, total: seen.append((here, total)), pause_seconds=0)
    return seen


def left_over(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if not path.name.endswith(".lock"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "file.npz"


def test_a_file_arrives_whole_with_progress_in_bytes(target: Path) -> None:
    with serving(Behaviour(CONTENT)) as url:
        seen = fetch(url, target)
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [here for here, _ in seen] == sorted(here for here, _ in seen)
    assert left_over(target) == ["file.npz"]


def test_a_download_that_breaks_off_is_continued_and_not_begun_again(target: Path) -> None:
    behaviour = Behaviour(CONTENT, break_after=3 * module.PIECE, breaks=2)
    with serving(behaviour) as url:
        fetch(url, target)
    assert target.read_bytes() == CONTENT
    assert behaviour.asked == ["", "bytes=49152-", "bytes=98304-"]


def test_the_next_call_continues_what_an_earlier_one_has_left(target: Path) -> None:
    behaviour = Behaviour(CONTENT)
    with serving(behaviour) as url:
        with pytest.raises(KeyboardInterrupt):
            download(url, target, md5=MD5, received=_interrupt, pause_seconds=0)
        assert not target.exists()
        fetch(url, target)
    assert target.read_bytes() == CONTENT
    assert behaviour.asked == ["", f"bytes={module.PIECE}-"]


def _interrupt(*_: int) -> None:
    raise KeyboardInterrupt


def test_a_server_without_ranges_sends_everything_again(target: Path) -> None:
    behaviour = Behaviour(CONTENT, ranges=False, break_after=100_000, breaks=1)
    with serving(behaviour) as url:
        fetch(url, target)
    assert target.read_bytes() == CONTENT


def test_a_file_that_changed_in_between_is_fetched_from_the_start(target: Path) -> None:
    behaviour = Behaviour(b"x" * 300_000, break_after=100_000, breaks=1, etag='"old"')
    with serving(behaviour) as url:
        with pytest.raises(KeyboardInterrupt):
            download(url, target, received=_interrupt, pause_seconds=0)
        behaviour.content, behaviour.etag, behaviour.breaks = CONTENT, '"new"', 0
        fetch(url, target)
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_complete_is_not_fetched_again(target: Path) -> None:
    behaviour = Behaviour(CONTENT)
    with serving(behaviour) as url:
        with pytest.raises(KeyboardInterrupt):
            download(url, target, received=_interrupt_at_the_end, pause_seconds=0)
        fetch(url, target)
    assert target.read_bytes() == CONTENT
    assert behaviour.asked == ["", "bytes=300000-"]


def _interrupt_at_the_end(here: int, total: int) -> None:
    if here == total:
        raise KeyboardInterrupt


def test_an_archive_made_on_the_fly_states_no_length(target: Path) -> None:
    with serving(Behaviour(CONTENT, chunked=True, etag="")) as url:
        assert fetch(url, target)[-1] == (len(CONTENT), 0)
    assert target.read_bytes() == CONTENT


def test_what_a_check_finds_wrong_is_said(target: Path) -> None:
    with serving(Behaviour(CONTENT)) as url, pytest.raises(UserError, match=f"{url}: is not a zip archive; nothing"):
        download(url, target, check=lambda _: "is not a zip archive", pause_seconds=0)
    assert left_over(target) == []


def test_a_connection_that_breaks_again_and_again_is_given_up_and_what_arrived_is_kept(target: Path) -> None:
    behaviour = Behaviour(CONTENT, ranges=False, break_after=2 * module.PIECE, breaks=1000)
    with serving(behaviour) as url, pytest.raises(UserError, match="breaks off again and again; 32,768 bytes are kept"):
        fetch(url, target)
    assert len(behaviour.asked) == module.ATTEMPTS + 1
    assert not target.exists()


def test_a_file_shorter_than_stated_never_appears(target: Path) -> None:
    behaviour = Behaviour(CONTENT, ranges=False, stated_length=len(CONTENT) + 10)
    with serving(behaviour) as url, pytest.raises(UserError, match="breaks off again and again"):
        fetch(url, target)
    assert not target.exists()


def test_a_file_longer_than_stated_is_noticed_by_its_checksum(target: Path) -> None:
    behaviour = Behaviour(CONTENT, stated_length=len(CONTENT) - 10)
    with serving(behaviour) as url, pytest.raises(UserError, match="is not the file expected: its MD5 is"):
        fetch(url, target)
    assert left_over(target) == []


def test_a_wrong_file_is_thrown_away(target: Path) -> None:
    behaviour = Behaviour(b"<html>not this</html>")
    with serving(behaviour) as url, pytest.raises(UserError, match=f"its MD5 is .*, not {MD5}; nothing was kept"):
        fetch(url, target)
    assert left_over(target) == []


def test_a_file_that_is_there_survives_a_failed_download(target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"old")
    with serving(Behaviour(b"wrong")) as url, pytest.raises(UserError):
        fetch(url, target)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_reported_at_once(target: Path, status: int) -> None:
    behaviour = Behaviour(CONTENT, status=status)
    with serving(behaviour) as url, pytest.raises(UserError, match=f"the server answers {status}"):
        fetch(url, target)
    assert len(behaviour.asked) == 1


def test_a_server_in_trouble_is_asked_again(target: Path) -> None:
    behaviour = Behaviour(CONTENT, status=503)
    with serving(behaviour) as url, pytest.raises(UserError, match="breaks off again and again; 0 bytes"):
        fetch(url, target)
    assert len(behaviour.asked) == module.ATTEMPTS


def test_a_server_that_falls_silent_is_left_after_a_while(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", (1.0, 0.05))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(UserError, match="cannot be reached"):
            fetch(url, target)


def test_without_a_network_one_sentence_says_what_to_place_where(target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file.npz"
    with pytest.raises(UserError) as caught:
        fetch(url, target)
    assert str(caught.value) == f"127.0.0.1 cannot be reached; fetch {url} elsewhere and place it as {target}"


def test_one_process_at_a_time_fetches_a_file(target: Path) -> None:
    target.parent.mkdir()
    with FileLock(target.with_name(".file.npz.lock")), pytest.raises(UserError, match="another process is fetching it"):
        fetch("http://127.0.0.1/file", target)
