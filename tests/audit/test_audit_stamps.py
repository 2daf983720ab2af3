"""An authority stamps checkpoints; what is no stamp of this log is not taken for one."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event

import pytest
from click.testing import CliRunner, Result
from made_logs import FIRST, copy, fill, opened, plain
from stamp_authority import Authority, send, served

from ebplan.audit import verify
from ebplan.audit.folder import last_checkpoint
from ebplan.audit.stamps import ask_for_stamp, read_roots
from ebplan.cli import main
from ebplan.errors import InputError

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed: make audit-tools"
)
real = pytest.mark.real


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "a", "Authority A")


@pytest.fixture(scope="module")
def address(authority: Authority) -> Iterator[str]:
    with served(lambda handler, query: send(handler, authority.answer(query))) as url:
        yield url


@pytest.fixture
def log(tmp_path: Path) -> Path:
    plain(tmp_path / "log")
    return tmp_path / "log"


@pytest.fixture(scope="module")
def stamped(tmp_path_factory: pytest.TempPathFactory, address: str, authority: Authority) -> Path:
    """A log of two runs with a stamp after each."""
    folder = tmp_path_factory.mktemp("stamped") / "log"
    for _ in range(2):
        with opened(folder, FIRST) as log:
            fill(log, 5)
        ask_for_stamp(folder, address, read_roots(authority.root), timeout_s=30)
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, words)])


@real
@needs_openssl
def test_a_stamp_says_when_the_records_were_there(stamped: Path, authority: Authority) -> None:
    verdict = verify(stamped, FIRST.verify_key, authorities=[authority.root])
    assert verdict.ok, verdict.faults
    assert sorted(verdict.stamps) == [8, 16]
    for at in verdict.stamps.values():
        assert abs(at - datetime.now(UTC)) < timedelta(hours=1)


@real
@needs_openssl
def test_the_commands_stamp_and_prove(log: Path, address: str, authority: Authority) -> None:
    done = run("stamp", log, "--authority", address, "--root", authority.root)
    assert done.exit_code == 0, done.output
    size = last_checkpoint(log).size
    assert done.output == f"{log}/stamps/{size:012d}.tsr\n"
    proven = run("verify", log, "--key", FIRST.verify_key, "--authority", authority.root)
    assert proven.exit_code == 0
    assert f"the first {size} records were there at 20" in proven.output


@real
@needs_openssl
def test_the_root_of_another_authority_proves_no_stamp(
    stamped: Path, log: Path, address: str, tmp_path: Path, authority: Authority
) -> None:
    other = Authority(tmp_path / "b", "Authority B")
    verdict = verify(stamped, FIRST.verify_key, authorities=[other.root])
    assert not verdict.ok
    assert {fault.file for fault in verdict.faults} == {
        "stamps/000000000008.tsr",
        "stamps/000000000016.tsr",
    }
    refused = run("stamp", log, "--authority", address, "--root", other.root)
    assert refused.exit_code == 2
    assert refused.output.count("\n") == 1
    assert not (log / "stamps").exists()
    both = verify(stamped, FIRST.verify_key, authorities=[other.root, authority.root])
    assert both.ok


@real
@needs_openssl
def test_a_stamp_of_another_checkpoint_is_found(
    stamped: Path, authority: Authority, tmp_path: Path
) -> None:
    folder = copy(stamped, tmp_path / "log")
    stamps = folder / "stamps"
    (stamps / "000000000008.tsr").write_bytes((stamps / "000000000016.tsr").read_bytes())
    shutil.copy(stamps / "000000000016.tsr", stamps / "000000000007.tsr")
    shutil.copy(stamps / "000000000016.tsr", stamps / "newest.tsr")
    verdict = verify(folder, FIRST.verify_key, authorities=[authority.root])
    assert [fault.file for fault in verdict.faults] == [
        "stamps/000000000007.tsr",
        "stamps/000000000008.tsr",
        "stamps/newest.tsr",
    ]
    assert list(verdict.stamps) == [16]


@real
@needs_openssl
def test_the_stamp_of_another_log_is_found(
    stamped: Path, authority: Authority, address: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    with opened(other, FIRST) as log:
        fill(log, 13)
    ask_for_stamp(other, address, read_roots(authority.root), timeout_s=30)
    folder = copy(stamped, tmp_path / "log")
    shutil.copy(other / "stamps" / "000000000016.tsr", folder / "stamps")
    verdict = verify(folder, FIRST.verify_key, authorities=[authority.root])
    assert [fault.file for fault in verdict.faults] == ["stamps/000000000016.tsr"]


@real
@needs_openssl
def test_an_edited_stamp_is_found_or_says_the_same(
    stamped: Path, authority: Authority, tmp_path: Path
) -> None:
    """Some bytes of an answer are signed by nobody: its status, and how long things are."""
    folder = copy(stamped, tmp_path / "log")
    path = folder / "stamps" / "000000000016.tsr"
    raw = path.read_bytes()
    said = verify(stamped, FIRST.verify_key, authorities=[authority.root]).stamps
    found = 0
    for at in range(0, len(raw), 7):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 0x01]) + raw[at + 1 :])
        verdict = verify(folder, FIRST.verify_key, authorities=[authority.root])
        if verdict.ok:
            assert verdict.stamps == said
        found += not verdict.ok
    assert found > 0.9 * len(range(0, len(raw), 7))


@real
@needs_openssl
def test_an_answer_to_an_earlier_question_is_refused(log: Path, authority: Authority) -> None:
    """The question holds a number that is used once: an old answer does not hold it."""
    answers: list[bytes] = []

    def respond(handler: BaseHTTPRequestHandler, query: bytes) -> None:
        answers.append(answers[0] if answers else authority.answer(query))
        send(handler, answers[-1])

    roots = read_roots(authority.root)
    with served(respond) as url:
        ask_for_stamp(log, url, roots, timeout_s=30)
        with pytest.raises(InputError, match="authority"):
            ask_for_stamp(log, url, roots, timeout_s=30)


# what follows needs no stamp: an authority that gives none

ROOT = """\
-----BEGIN CERTIFICATE-----
MIIBgjCCASmgAwIBAgIUGvHoY1zzEbqr
-----END CERTIFICATE-----
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root certificate of a made authority."""
    trustme = pytest.importorskip("trustme")
    path = tmp_path / "root.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


def one_line(done: Result, *parts: str) -> None:
    assert done.exit_code == 2, done.output
    assert done.output.count("\n") == 1, done.output
    assert done.output.startswith("error: ")
    for part in parts:
        assert part in done.output


@pytest.mark.parametrize(
    "content", [b"", b"no", b"<html>sorry</html>", b"\x30\x03\x02\x01\x02", b"0" * 70_000]
)
def test_an_answer_that_is_no_stamp_is_one_line(content: bytes, log: Path, root: Path) -> None:
    with served(lambda handler, _: send(handler, content)) as url:
        one_line(run("stamp", log, "--authority", url, "--root", root), url)
    assert not (log / "stamps").exists()


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_an_error_of_the_authority_is_one_line(status: int, log: Path, root: Path) -> None:
    with served(lambda handler, _: send(handler, b"", status)) as url:
        one_line(run("stamp", log, "--authority", url, "--root", root), str(status))


def test_an_answer_that_breaks_off_is_one_line(log: Path, root: Path) -> None:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"\x30")
        handler.close_connection = True

    with served(respond) as url:
        one_line(run("stamp", log, "--authority", url, "--root", root), url)


def test_what_is_no_http_is_one_line(log: Path, root: Path) -> None:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(b"\x00\x01\x02 garbage\r\n\r\n")
        handler.close_connection = True

    with served(respond) as url:
        one_line(run("stamp", log, "--authority", url, "--root", root), url)


def test_an_authority_that_says_nothing_is_left(log: Path, root: Path) -> None:
    heard = Event()

    def silent() -> None:
        heard.wait(30)

    with served(lambda *_: silent()) as url:
        done = run("stamp", log, "--authority", url, "--root", root, "--timeout", "0.2")
        heard.set()
    one_line(done, "timed out")


def test_an_authority_that_is_not_there_is_one_line(log: Path, root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    one_line(run("stamp", log, "--authority", url, "--root", root), "refused")


@pytest.mark.parametrize(
    "url", ["", "ftp://127.0.0.1/", "file:///etc/hosts", "http://[", "http://", "http://a b/", "x"]
)
def test_an_address_that_is_none_is_one_line(url: str, log: Path, root: Path) -> None:
    one_line(run("stamp", log, "--authority", url, "--root", root))


def test_a_folder_without_a_checkpoint_is_one_line(tmp_path: Path, root: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    words = ("--authority", "http://127.0.0.1:9/", "--root", root)
    one_line(run("stamp", empty, *words), "no checkpoint")
    one_line(run("stamp", tmp_path / "none", *words), "No such file")


def test_a_root_that_is_none_is_one_line(log: Path, tmp_path: Path) -> None:
    for content in (b"", b"no", ROOT.encode()):
        (tmp_path / "bad.pem").write_bytes(content)
        words = ("--authority", "http://127.0.0.1:9/", "--root", tmp_path / "bad.pem")
        one_line(run("stamp", log, *words), "PEM")
        proof = ("--key", FIRST.verify_key, "--authority", tmp_path / "bad.pem")
        one_line(run("verify", log, *proof), "PEM")
    one_line(run("stamp", log, *words[:2], "--root", tmp_path / "none.pem"), "none.pem")
