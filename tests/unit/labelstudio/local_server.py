"""A real HTTP server on loopback whose answers a test writes as functions."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LEGACY_TOKEN = "0123456789abcdef0123456789abcdef01234567"
IMAGE = b"\xff\xd8\xff not quite a JPEG"


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class LocalServer:
    """`routes`: path without query -> answer; `otherwise` for every other path."""

    port: int = 0
    scheme: str = "http"
    routes: dict[str, Answer] = field(default_factory=dict)
    otherwise: Answer | None = None  # 404
    seen: list[Seen] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.seen]

    def tokens(self, path: str) -> list[str | None]:
        """Authorization headers of the requests to `path`, in order."""
        return [s.headers.get("authorization") for s in self.seen if s.target.startswith(path)]


def send(
    status: int = 200, body: bytes = IMAGE, kind: str = "image/jpeg", **headers: str
) -> Answer:
    """An ordinary answer; `Content_Encoding="gzip"` becomes the header Content-Encoding."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def redirect(location: str, status: int = 302) -> Answer:
    return send(status, b"", Location=location)


def raw(*pieces: bytes, pause: threading.Event | None = None, pause_s: float = 0.0) -> Answer:
    """Bytes straight to the socket, with a pause after each piece (cut short by `pause`)."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        try:
            for piece in pieces:
                handler.wfile.write(piece)
                handler.wfile.flush()
                if pause is not None and pause.wait(pause_s):
                    return
        except OSError:
            pass  # the client has had enough

    return answer


@contextmanager
def local_server(tls: ssl.SSLContext | None = None) -> Iterator[LocalServer]:
    server = LocalServer(scheme="https" if tls else "http")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet an answer; else each waits 40 ms for an acknowledgement

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.seen.append(Seen(self.command, self.path, headers, body))
            path = self.path.partition("?")[0]
            answer = server.routes.get(path) or server.otherwise
            (answer or send(404, b"no such page", "text/plain"))(self)

        do_GET = do_POST = do_PATCH = do_DELETE = do_CONNECT = _answer  # noqa: N815  the base class asks for them

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients that break off, or distrust the certificate, are what is tested

    listening = Quiet(("127.0.0.1", 0), Handler)
    if tls is not None:
        # The handshake waits for the first read, so that a bad client does not stop the server.
        listening.socket = tls.wrap_socket(
            listening.socket, server_side=True, do_handshake_on_connect=False
        )
    server.port = listening.server_address[1]
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
