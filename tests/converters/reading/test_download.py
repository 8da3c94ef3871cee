"""Downloads from a server on this machine: whole, resumed, checked, refused."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import pytest

from mgm_converters import convert
from mgm_converters.reading.files.download import download
from mgm_converters.reading.files.source import find_source
from mgm_jax.encoders import PUBLISHED
from mgm_jax.errors import InputError

CONTENT = bytes(range(256)) * 9000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Sends ``content``; knows ranges; breaks off after ``stop`` bytes while ``breaks`` last."""

    content = CONTENT
    tag = '"one"'
    stop = 0
    breaks = 0
    redirect = ""
    ranges: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        made, wanted = type(self), self.headers.get("Range")
        made.ranges.append(wanted)
        if made.redirect:
            self.send_response(302)
            self.send_header("Location", made.redirect)
            self.end_headers()
            return
        if self.path.endswith("missing"):
            self.send_error(404, "Not Found")
            return
        same = self.headers.get("If-Range") == made.tag
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and same else 0
        if start >= len(made.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(made.content)}")
            self.end_headers()
            return
        body = made.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", made.tag)
        self.end_headers()
        if made.breaks > 0:
            made.breaks -= 1
            body = body[: made.stop]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[Server]]]:
    handler = type("Handler", (Server,), {"ranges": []})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", handler
    running.shutdown()
    running.server_close()
    thread.join()


def test_a_file_arrives_whole_and_once(server, tmp_path):
    address, handler = server
    file = download(f"{address}/w.pth", tmp_path / "deep" / "w.pth", sha256=SHA256)
    assert file.read_bytes() == CONTENT
    assert [path.name for path in file.parent.iterdir()] == ["w.pth"]
    download(f"{address}/w.pth", file, sha256=SHA256)
    assert handler.ranges == [None], "a file that is there is not fetched again"


def test_the_first_digits_of_a_digest_are_enough(server, tmp_path):
    address, _ = server
    assert download(f"{address}/w.pth", tmp_path / "w.pth", sha256=SHA256[:8]).is_file()


def test_a_broken_connection_is_taken_up_again(server, tmp_path):
    address, handler = server
    handler.breaks, handler.stop = 2, 700_000
    file = download(f"{address}/w.pth", tmp_path / "w.pth", sha256=SHA256)
    assert file.read_bytes() == CONTENT
    assert handler.ranges == [None, "bytes=700000-", "bytes=1400000-"]


def test_a_later_call_goes_on_where_the_last_one_stopped(server, tmp_path):
    address, handler = server
    handler.breaks, handler.stop = 1, 500_000
    with pytest.raises(InputError, match=r"broke off .*w\.pth\.part keeps"):
        download(f"{address}/w.pth", tmp_path / "w.pth", tries=1)
    assert not (tmp_path / "w.pth").exists()
    download(f"{address}/w.pth", tmp_path / "w.pth", sha256=SHA256)
    assert handler.ranges[-1] == "bytes=500000-"
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_a_file_that_changed_in_between_is_fetched_anew(server, tmp_path):
    address, handler = server
    handler.breaks, handler.stop = 1, 500_000
    with pytest.raises(InputError):
        download(f"{address}/w.pth", tmp_path / "w.pth", tries=1)
    handler.content, handler.tag = CONTENT[::-1], '"two"'
    download(f"{address}/w.pth", tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == CONTENT[::-1]


def test_another_digest_is_refused_and_removed(server, tmp_path):
    address, _ = server
    with pytest.raises(InputError, match="expected a file with the SHA-256 0000"):
        download(f"{address}/w.pth", tmp_path / "w.pth", sha256="0000")
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".tag"]


def test_what_cannot_be_fetched_says_what_to_do(server, tmp_path):
    address, _ = server
    with pytest.raises(InputError, match=r"answers 404 .*fetch the file by hand"):
        download(f"{address}/missing", tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"no connection .*no network"):
        download("http://127.0.0.1:9/w.pth", tmp_path / "w.pth")
    with pytest.raises(InputError, match="begins with https"):
        download("file:///etc/hostname", tmp_path / "w.pth")
    assert not (tmp_path / "w.pth").exists()


def test_no_redirect_leaves_https(server, tmp_path):
    address, handler = server
    handler.redirect = "http://weights.example/w.pth"
    with pytest.raises(InputError, match=r"redirects to http://weights\.example.*not HTTPS"):
        download(f"{address}/w.pth", tmp_path / "w.pth")
    handler.redirect = "ftp://weights.example/w.pth"
    with pytest.raises(InputError, match="not HTTPS"):
        download(f"{address}/w.pth", tmp_path / "w.pth")
    with pytest.raises(InputError, match="begins with https"):
        download("http://weights.example/w.pth", tmp_path / "w.pth")
    assert not (tmp_path / "w.pth").exists()


def test_a_file_of_no_known_digest_is_recorded_and_compared(server, tmp_path):
    address, handler = server
    file = tmp_path / "w.pth"
    download(f"{address}/w.pth", file)
    assert (tmp_path / "w.pth.sha256").read_text().split()[0] == SHA256
    file.unlink()
    handler.content, handler.tag = CONTENT[::-1], '"two"'
    with pytest.raises(InputError, match=rf"and {SHA256} when it was fetched first.*delete"):
        download(f"{address}/w.pth", file)
    (tmp_path / "w.pth.sha256").unlink()
    download(f"{address}/w.pth", file)
    file.write_bytes(b"changed where it lies")
    with pytest.raises(InputError, match="when it was fetched first"):
        download(f"{address}/w.pth", file)


@pytest.mark.slow
def test_a_published_name_is_fetched_and_converted(
    server, tmp_path, monkeypatch, torchvision, randomised
):
    torch = pytest.importorskip("torch")
    address, handler = server
    weights = randomised(torchvision.models.resnet50(weights=None)).state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in weights.items()}}, tmp_path / "w")
    handler.content = (tmp_path / "w").read_bytes()
    digest = hashlib.sha256(handler.content).hexdigest()
    moved = replace(PUBLISHED["swav"], address=f"{address}/swav.pth.tar", sha256=digest)
    table = {**PUBLISHED, "swav": moved}
    for module in (
        "reading.files.source",
        "recognition.decide",
        "recognition.architecture",
        "recognition.evidence.traces",
    ):
        monkeypatch.setattr(f"mgm_converters.{module}.PUBLISHED", table)
    monkeypatch.setenv("MGM_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"swav is published at .*add --download"):
        convert("swav")
    assert handler.ranges == []
    conversion = convert("swav", fetch=True, verify=False)
    assert (conversion.encoder.name, conversion.report.published) == ("swav", "swav")
    convert("swav", verify=False)
    assert handler.ranges == [None], "the second time it comes from the cache"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dinov3_vits16", "licence has to be accepted"),
        ("simclr_v1", r"convert them to PyTorch with tonylins/simclr-converter"),
        ("ibot_vits16", "the address is a page"),
    ],
)
def test_what_is_no_plain_download_says_so(name, message, tmp_path, monkeypatch):
    monkeypatch.setenv("MGM_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=message):
        find_source(name, fetch=True)


def test_unknown_names_are_answered_with_close_ones():
    with pytest.raises(InputError, match="did you mean dino_vits"):
        find_source("dino_vits15")
