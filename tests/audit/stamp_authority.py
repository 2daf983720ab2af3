"""An authority that stamps: ``openssl ts`` behind HTTP on loopback."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

# no `certs`: a chain makes a set of certificates that DER wants sorted, and readers refuse it
CONFIGURATION = """
[tsa]
default_tsa = authority
[authority]
serial = {folder}/serial
signer_cert = {folder}/stamper.pem
signer_key = {folder}/stamper.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.13762.3
digests = sha256, sha512
"""
EXTENSIONS = "extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n"
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256")


class Authority:
    """Its certificates, and what it answers.

    Args:
        folder: where its keys lie.
        name: what its root is called.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self.root = folder, folder / "root.pem"
        folder.mkdir()
        (folder / "serial").write_text("01\n")
        (folder / "ts.cnf").write_text(CONFIGURATION.format(folder=folder))
        (folder / "extensions").write_text(EXTENSIONS)
        self._openssl(
            *("req", "-x509", "-days", "30", *EC, "-subj", f"/CN={name}"),
            *("-keyout", "root.key", "-out", "root.pem"),
        )
        self._openssl(
            *("req", "-new", *EC, "-subj", f"/CN={name} stamps"),
            *("-keyout", "stamper.key", "-out", "stamper.csr"),
        )
        self._openssl(
            *("x509", "-req", "-in", "stamper.csr", "-days", "30", "-sha256"),
            *("-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "2"),
            *("-extfile", "extensions", "-out", "stamper.pem"),
        )

    def answer(self, query: bytes) -> bytes:
        """Return the stamp that was asked for."""
        (self._folder / "query").write_bytes(query)
        self._openssl(
            *("ts", "-reply", "-config", "ts.cnf", "-queryfile", "query", "-out", "reply")
        )
        return (self._folder / "reply").read_bytes()

    def _openssl(self, *words: str) -> None:
        subprocess.run(
            ["openssl", *words], cwd=self._folder, check=True, capture_output=True, timeout=30
        )


@contextmanager
def served(respond: Callable[[BaseHTTPRequestHandler, bytes], None]) -> Iterator[str]:
    """Answer posts on loopback; give the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            respond(self, self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, content: bytes, status: int = 200) -> None:
    """Answer as an authority does."""
    handler.send_response(status)
    handler.send_header("Content-Type", "application/timestamp-reply")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
