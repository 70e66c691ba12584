"""Downloads from a server that breaks off, lies about length, ignores ranges, goes away, or has another file."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sharpose.data import coco_files
from sharpose.data.coco_files import Part, fetch_part, state
from sharpose.data.download import RemoteFile, WrongFile, fetch
from sharpose.runtime.errors import InputError, RunFailed
from tests.command_line import call


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr("val2017/1.jpg", bytes(range(256)) * 400)
        opened.writestr("val2017/2.jpg", b"second")
    return made.getvalue()


CONTENT = archive()


@dataclass
class Behaviour:
    """How the server misbehaves. break_after: bytes sent before the connection closes, one entry per request."""

    content: bytes = CONTENT
    break_after: list[int | None] = field(default_factory=list)
    announced: int | None = None
    ignore_range: bool = False
    status: int | None = None
    requests: list[str | None] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        how, asked = self.behaviour, self.headers.get("Range")
        how.requests.append(asked)
        if how.status is not None:
            self.send_error(how.status)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and not how.ignore_range else 0
        body = how.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(how.content) - 1}/{len(how.content)}")
        self.send_header("Content-Length", str(len(body) if how.announced is None else how.announced - start))
        self.end_headers()
        limit = how.break_after.pop(0) if how.break_after else None
        self.wfile.write(body if limit is None else body[:limit])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, Behaviour]]:
    behaviour = Behaviour()
    handler = type("Chosen", (Handler,), {"behaviour": behaviour})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", behaviour
        running.shutdown()
        thread.join()


def wanted(address: str) -> RemoteFile:
    return RemoteFile(f"{address}/zips/val2017.zip", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def get(address: str, folder: Path) -> Path:
    return fetch(wanted(address), folder, pause_s=0.0)


def test_a_whole_file_arrives_with_progress_and_is_not_asked_for_twice(
    server: tuple[str, Behaviour], tmp_path: Path
) -> None:
    address, behaviour = server
    seen: list[tuple[int, int]] = []
    path = fetch(wanted(address), tmp_path / "new", lambda done, total: seen.append((done, total)), pause_s=0.0)
    assert path.read_bytes() == CONTENT and seen[-1] == (len(CONTENT), len(CONTENT))
    assert get(address, tmp_path / "new") == path and behaviour.requests == [None]
    assert [entry.name for entry in path.parent.iterdir()] == ["val2017.zip"]


def test_a_broken_connection_goes_on_where_it_stopped(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    behaviour.break_after = [1000, 500]
    assert get(address, tmp_path).read_bytes() == CONTENT
    assert behaviour.requests == [None, "bytes=1000-", "bytes=1500-"]


def test_a_later_command_goes_on_too(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    behaviour.break_after = [1000, 0, 0, 0, 0, 0]
    with pytest.raises(RunFailed, match=r"broke off after 1,000 of .* bytes; the same command goes on from there"):
        get(address, tmp_path)
    assert (tmp_path / "val2017.zip.part").read_bytes() == CONTENT[:1000] and not (tmp_path / "val2017.zip").exists()
    behaviour.break_after.clear()
    behaviour.requests.clear()
    assert get(address, tmp_path).read_bytes() == CONTENT
    assert behaviour.requests == ["bytes=1000-"]


def test_a_server_without_ranges_starts_anew(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    behaviour.break_after, behaviour.ignore_range = [1000], True
    assert get(address, tmp_path).read_bytes() == CONTENT
    assert behaviour.requests == [None, "bytes=1000-"]


@pytest.mark.parametrize("announced", [len(CONTENT) - 10, len(CONTENT) + 10])
def test_a_wrong_length_is_refused_and_what_was_there_stays(
    server: tuple[str, Behaviour], tmp_path: Path, announced: int
) -> None:
    address, behaviour = server
    behaviour.announced = announced
    (tmp_path / "val2017.zip.part").write_bytes(CONTENT[:700])
    with pytest.raises(WrongFile, match=rf"the server's file has {announced:,} bytes"):
        get(address, tmp_path)
    assert (tmp_path / "val2017.zip.part").read_bytes() == CONTENT[:700]
    assert not (tmp_path / "val2017.zip").exists()


def test_a_right_length_with_less_behind_it_is_no_file(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    behaviour.content, behaviour.announced = CONTENT[:2000], len(CONTENT)
    with pytest.raises(RunFailed, match="2,000 of"):
        get(address, tmp_path)
    assert not (tmp_path / "val2017.zip").exists()


def test_another_file_is_removed_and_the_right_one_then_fetched(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    behaviour.content = bytes(len(CONTENT))
    with pytest.raises(WrongFile, match=r"sha256 .* it was removed"):
        get(address, tmp_path)
    assert list(tmp_path.iterdir()) == []
    behaviour.content = CONTENT
    assert get(address, tmp_path).read_bytes() == CONTENT


def test_a_part_of_another_file_is_found_out(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    (tmp_path / "val2017.zip.part").write_bytes(b"x" * 500)
    with pytest.raises(WrongFile, match="sha256"):
        get(server[0], tmp_path)
    assert get(server[0], tmp_path).read_bytes() == CONTENT


def test_no_such_file_and_no_server_are_one_line(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    address, behaviour = server
    behaviour.status = 404
    with pytest.raises(RunFailed, match="answered 404"):
        get(address, tmp_path)
    assert len(behaviour.requests) == 1
    with pytest.raises(RunFailed, match="refused"):
        get("http://127.0.0.1:9", tmp_path)


def test_a_file_in_the_way_is_never_overwritten(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    (tmp_path / "val2017.zip").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"val2017.zip: is not the file of .*; remove it"):
        get(server[0], tmp_path)
    assert (tmp_path / "val2017.zip").read_bytes() == b"mine"


@pytest.fixture
def small_part(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setitem(
        coco_files.PARTS, "val", Part("zips/val2017.zip", len(CONTENT), digest, ("val2017",), "5,000 images")
    )


@pytest.mark.usefixtures("small_part")
def test_a_part_is_unpacked_and_a_cut_off_unpacking_is_finished(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    part = coco_files.PARTS["val"]
    assert state(part, tmp_path) == "missing"
    fetch_part("val", tmp_path, server[0], pause_s=0.0)
    assert state(part, tmp_path) == "there"
    assert (tmp_path / "val2017" / "2.jpg").read_bytes() == b"second"
    (tmp_path / "val2017" / "1.jpg").write_bytes(b"half")
    (tmp_path / "val2017.zip.unpacking").touch()
    assert state(part, tmp_path) == "downloaded"
    fetch_part("val", tmp_path, server[0], pause_s=0.0)
    assert (tmp_path / "val2017" / "1.jpg").stat().st_size == 102_400


@pytest.mark.usefixtures("small_part")
def test_command_explains_then_fetches(
    capsys: pytest.CaptureFixture[str], server: tuple[str, Behaviour], tmp_path: Path
) -> None:
    code, out, _ = call(capsys, "data", "coco", "--out", str(tmp_path / "coco"))
    assert code == 0 and "19,336.9 MB  missing" in out and "AP_H_56" in out and "--fetch" in out
    assert not (tmp_path / "coco").exists() and server[1].requests == []
    fetching = ["--out", str(tmp_path / "coco"), "--part", "val", "--fetch", "--base-url", server[0], "--json"]
    code, out, err = call(capsys, "data", "coco", *fetching)
    assert code == 0, err
    assert json.loads(out)["parts"]["val"]["state"] == "there"
    assert "Fetching val" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--part", "vall"], "there is no part 'vall'; there are annotations, val"),
        (["--fetch", "--base-url", "file:///etc"], "must begin with http"),
        (["--fetch", "--base-url", "http://a b"], "no address"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, _, err = call(capsys, "data", "coco", "--out", str(tmp_path), *arguments)
    assert code == 2 and message in err and "Traceback" not in err
