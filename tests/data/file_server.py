"""A real HTTP server on this machine that serves one file, well or badly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does; tests change it between requests."""

    content: bytes
    status: int = 200
    ranges: bool = True
    etag: str = '"one"'
    break_after: int = 0
    """Bytes of a body after which the connection is cut; 0 is never."""
    breaks: int = 0
    """How often that happens."""
    stated_length: int | None = None
    """A Content-Length that is a lie."""
    chunked: bool = False
    """No Content-Length at all, as archives made on the fly have."""
    asked: list[str] = field(default_factory=list)
    """The Range header of every request, "" for none."""


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """The address of the file while the server runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            behaviour.asked.append(wanted)
            if behaviour.status != 200:
                self.send_response(behaviour.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            fresh = self.headers.get("If-Range", behaviour.etag) == behaviour.etag
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and behaviour.ranges and fresh else 0
            size = len(behaviour.content)
            if start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._send(behaviour.content[start:], start, size)

        def _send(self, body: bytes, start: int, size: int) -> None:
            self.send_response(206 if start else 200)
            if behaviour.etag:
                self.send_header("ETag", behaviour.etag)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            if behaviour.chunked:
                self.send_header("Connection", "close")
                self.close_connection = True
            else:
                length = len(body) if behaviour.stated_length is None else behaviour.stated_length
                self.send_header("Content-Length", str(length))
            self.end_headers()
            if behaviour.breaks:
                behaviour.breaks -= 1
                self.wfile.write(body[: behaviour.break_after])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            else:
                self.wfile.write(body)
                self.close_connection = behaviour.stated_length is not None or self.close_connection

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/file"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
