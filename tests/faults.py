"""A proxy before a real service over HTTP that fails on purpose, as networks and services do."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("503", "SlowDown", "403", "reset", "half a body", "silence")
_ERRORS = {"503": (503, "ServiceUnavailable"), "SlowDown": (503, "SlowDown")}
_ERRORS["403"] = (403, "AccessDenied")
_ERRORS["500"] = (500, "InternalError")
LOST_ANSWER = "lost answer"  # the service does what it is asked, and who asked is told 500


class FaultProxy:
    """Hands requests on, but for those that `choose` gives a fault for.

    Parameters
    ----------
    upstream
        URL of the endpoint.
    choose
        Given method, path and how many requests there were before, names one of `FAULTS`, "500",
        `LOST_ANSWER` or "".
    silence_s
        How long a silent answer takes to end.
    """

    def __init__(
        self, upstream: str, choose: Callable[[str, str, int], str], *, silence_s: float = 30.0
    ) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.choose = choose
        self.silence_s = silence_s
        self.requests: list[tuple[str, str]] = []
        self.faults: Counter[str] = Counter()
        self.n_bytes = 0  # of bodies that were handed on to who asked
        self.lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    @contextlib.contextmanager
    def running(self) -> Iterator[FaultProxy]:
        thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()

    def next_fault(self, method: str, path: str) -> str:
        with self.lock:
            fault = self.choose(method, path, len(self.requests))
            self.requests.append((method, path))
            if fault:
                self.faults[fault] += 1
            return fault


class _Handler(BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.owner.next_fault(self.command, self.path)
        if fault in _ERRORS:
            self.fail(*_ERRORS[fault])
        elif fault == "reset":
            self.reset()
        elif fault == LOST_ANSWER:
            self.ask_upstream(body)
            self.fail(*_ERRORS["500"])
        elif fault == "silence":
            time.sleep(self.owner.silence_s)
            self.close_connection = True
        else:
            self.hand_on(body, share=0.5 if fault == "half a body" else 1.0)

    do_GET = do_PUT = do_POST = do_PATCH = do_HEAD = do_DELETE = handle_one

    def fail(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>on purpose</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def reset(self) -> None:
        # A connection that is closed with nothing to linger for is reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def ask_upstream(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        upstream = http.client.HTTPConnection(self.owner.upstream, timeout=60)
        with contextlib.closing(upstream):
            # The Host header stays: it is part of the signature.
            headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            upstream.request(self.command, self.path, body=body or None, headers=headers)
            answer = upstream.getresponse()
            return answer, answer.read()

    def hand_on(self, body: bytes, *, share: float) -> None:
        answer, data = self.ask_upstream(body)
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
        if answer.status != 204:
            self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        if share < 1 and len(data) > 1:
            data = data[: int(len(data) * share)]
            self.close_connection = True
        with self.owner.lock:
            self.owner.n_bytes += len(data)
        self.wfile.write(data)
        self.wfile.flush()
