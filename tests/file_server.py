"""A local HTTP server for downloads, with the faults that real ones have."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class ServedFile:
    """What one path answers.

    `breaks_after`: bytes of each answer's body before the connection is cut, one entry an answer;
    further answers are whole. `claims`: a Content-Length that is not true. `stalls`: nothing comes
    after `breaks_after` any more, but the connection stays.
    """

    content: bytes = b""
    etag: str | None = '"v1"'
    last_modified: str | None = None
    ranges: bool = True
    breaks_after: list[int] = field(default_factory=list)
    stalls: bool = False
    claims: int | None = None
    chunked: bool = False
    status: int = 200
    busy_answers: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    wrong_range: bool = False


class FileServer:
    """`files` by path; `seen`: (path, Range header or None) of each request."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.files: dict[str, ServedFile] = {}
        self.seen: list[tuple[str, str | None]] = []
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Clients that hang up are what is tested."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"

    @classmethod
    @contextmanager
    def running(cls, tls: ssl.SSLContext | None = None) -> Iterator[FileServer]:
        server = cls(tls)
        thread = threading.Thread(target=server._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server._server.shutdown()
            server._server.server_close()
            thread.join()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.seen.append((request.path, asked))
        file = self.files.get(request.path, ServedFile(b"<h1>nothing here</h1>", status=404))
        if file.busy_answers:
            file.busy_answers -= 1
            self._send(request, 503, {}, b"")
            return
        headers = dict(file.headers)
        if file.etag:
            headers["ETag"] = file.etag
        if file.last_modified:
            headers["Last-Modified"] = file.last_modified
        start = self._start(request, file, asked)
        if file.status != 200:
            self._send(request, file.status, headers, file.content)
        elif start is None:
            self._send(request, 200, headers, file.content, file)
        elif start >= len(file.content):
            headers["Content-Range"] = f"bytes */{len(file.content)}"
            self._send(request, 416, headers, b"")
        else:
            shown = start + 7 if file.wrong_range else start
            total = len(file.content)
            headers["Content-Range"] = f"bytes {shown}-{total - 1}/{total}"
            self._send(request, 206, headers, file.content[start:], file)

    @staticmethod
    def _start(request: BaseHTTPRequestHandler, file: ServedFile, asked: str | None) -> int | None:
        found = re.fullmatch(r"bytes=(\d+)-", asked or "")
        validator = request.headers.get("If-Range")
        if not found or not file.ranges or validator not in (None, file.etag, file.last_modified):
            return None
        return int(found[1])

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        headers: dict[str, str],
        body: bytes,
        file: ServedFile | None = None,
    ) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        chunked = file is not None and file.chunked
        if chunked:
            request.send_header("Transfer-Encoding", "chunked")
        else:
            claimed = file.claims if file and file.claims is not None else len(body)
            request.send_header("Content-Length", str(claimed))
        request.end_headers()
        cut = file.breaks_after.pop(0) if file and file.breaks_after else None
        sent = body if cut is None else body[:cut]
        if chunked:
            sent = b"%x\r\n%s\r\n" % (len(sent), sent) if sent else b""
            sent += b"" if cut is not None else b"0\r\n\r\n"
        request.wfile.write(sent)
        if cut is not None or (file and file.claims is not None):
            request.wfile.flush()
            if file and file.stalls:
                self.released.wait(30)
            request.close_connection = True
