"""A small hub on this machine: it speaks the protocol of the Hugging Face hub, or breaks it.

As the real one does, it answers questions about large files with a redirect to another host, where
their bytes lie under a signed address, and about small ones with a redirect to a path of its own.

From a shell: ``python tests/local_hub.py FOLDER REPOSITORY COMMAND...`` runs a command while the
files of a folder lie on such a hub, as the branch ``main``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

#: Files of this size and above lie on the other host.
LARGE = 10_000


def git_sha1(data: bytes) -> str:
    """SHA-1 of a blob of git."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Request(BaseHTTPRequestHandler):
    """One request; `answer` and `send` are what the answers below are made of."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.respond()

    def do_GET(self) -> None:
        self.respond()

    def respond(self) -> None:
        hub = self.server.hub
        with hub.lock:
            headers = {name.title(): value for name, value in self.headers.items()}
            hub.requests.append((self.command, self.path, headers))
        with contextlib.suppress(ConnectionError):
            (hub.bytes_of if self.server.is_storage else hub.page)(self)

    @property
    def start(self) -> int:
        """First byte that is asked for."""
        wanted = self.headers.get("Range", "bytes=0-")
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def answer(self, status: int, headers: dict[str, object], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def part(self, body: bytes, **headers: object) -> None:
        """The head of an answer with the bytes of a file from `start` on."""
        start, size = self.start, len(body)
        spelled = {name.replace("_", "-"): value for name, value in headers.items()}
        ranged = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
        self.send_response(206 if start else 200)
        for name, value in ({"Content-Length": size - start} | ranged | spelled).items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()

    def send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def hang_up(self) -> None:
        self.close_connection = True

    def wait_for_its_end(self) -> None:
        """Wait until the client hangs up; not for ever, should it not."""
        select.select([self.connection], [], [], 300)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: LocalHub
    is_storage: bool

    def handle_error(self, *_: object) -> None:
        """Clients that hang up, or do not trust the certificate, are what tests are about."""


#: What is done with a request, and with one of a file's bytes.
Page = Callable[[Request], None]
Bytes = Callable[[Request, bytes], None]


@dataclass
class LocalHub:
    """What lies on the hub, and how it answers.

    Attributes
    ----------
    files : dict
        (repository, commit) -> name -> bytes.
    names : dict of str to str
        Branches and tags -> commits.
    pages : list
        Answers to the next questions, in place of the right ones.
    bodies : list
        Answers to the next requests of bytes on the other host, in place of the right ones.
    token : str or None
        Without it nothing is shown.
    requests : list
        Every (method, path, headers) so far.
    """

    files: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    pages: list[Page] = field(default_factory=list)
    bodies: list[Bytes] = field(default_factory=list)
    token: str | None = None
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""
    storage: str = ""

    def add(self, repository: str, commit: str, files: dict[str, bytes]) -> None:
        self.files[repository, commit] = files

    def asked(self, method: str, name: str) -> list[dict[str, str]]:
        """Headers of all requests of this method whose path has `name` in it."""
        return [
            headers
            for verb, path, headers in list(self.requests)
            if verb == method and name in path
        ]

    def page(self, request: Request) -> None:
        """Answer on the hub itself."""
        with self.lock:
            page = self.pages.pop(0) if self.pages else self.right_page
        page(request)

    def right_page(self, request: Request) -> None:
        repository, _, rest = request.path.lstrip("/").partition("/resolve/")
        is_moved = repository.startswith("moved/")
        revision, _, name = rest.partition("/")
        revision, name = unquote(revision), unquote(name)
        repository = repository.removeprefix("moved/")
        known = [repo for repo, _ in self.files]
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return request.answer(401, {"X-Error-Code": "GatedRepo"}, b'{"error":"no"}')
        if repository not in known:
            return request.answer(401, {"X-Error-Code": "RepoNotFound"}, b"{}")
        commit = self.names.get(revision, revision)
        if (repository, commit) not in self.files:
            return request.answer(404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
        data = self.files[repository, commit].get(name)
        if data is None:
            return request.answer(404, {"X-Error-Code": "EntryNotFound"}, b"{}")
        return self._file(request, commit, name, data, is_moved)

    def _file(self, request: Request, commit: str, name: str, data: bytes, is_moved: bool) -> None:
        head: dict[str, object] = {"X-Repo-Commit": commit}
        if len(data) >= LARGE:
            sha256 = hashlib.sha256(data).hexdigest()
            head |= {
                "X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": len(data),
                "ETag": f'"{"0" * 32}"', "Location": f"{self.storage}/{sha256}?signature=secret",
                # Of its newer storage, whose own protocol nobody has to speak.
                "X-Xet-Hash": sha256, "Link": f'<{self.url}/api/xet-read-token>; rel="xet-auth"',
            }  # fmt: skip
            request.answer(302, head)
        elif is_moved:
            head["ETag"] = f'"{git_sha1(data)}"'
            request.answer(200, head, data)
        else:
            request.answer(307, {"Location": f"/moved{request.path}", "X-Repo-Commit": commit})

    def bytes_of(self, request: Request) -> None:
        """Answer on the other host."""
        wanted = request.path.lstrip("/").partition("?")[0]
        every = [data for files in self.files.values() for data in files.values()]
        data = {hashlib.sha256(data).hexdigest(): data for data in every}[wanted]
        with self.lock:
            body = self.bodies.pop(0) if self.bodies else whole
        body(request, data)


def whole(request: Request, data: bytes) -> None:
    """All that was asked for."""
    request.part(data)
    request.send(data[request.start :])


def cut(n_bytes: int) -> Bytes:
    """So many bytes, then the connection is closed."""

    def send(request: Request, data: bytes) -> None:
        request.part(data)
        request.send(data[request.start : request.start + n_bytes])
        request.hang_up()

    return send


def trickle(n_bytes: int, pause: float) -> Bytes:
    """A few bytes at a time, for ever."""

    def send(request: Request, data: bytes) -> None:
        request.part(data)
        for begin in range(request.start, len(data), n_bytes):
            request.send(data[begin : begin + n_bytes])
            time.sleep(pause)

    return send


def from_the_start(then: Bytes = whole) -> Bytes:
    """As a server that has no middle of a file to give."""

    def send(request: Request, data: bytes) -> None:
        del request.headers["Range"]
        then(request, data)

    return send


def endless(request: Request, data: bytes) -> None:
    """More and more bytes."""
    request.part(data, Content_Length=None)
    while True:
        request.send(bytes(100_000))


def with_head(**headers: object) -> Bytes:
    """All bytes under another head."""

    def send(request: Request, data: bytes) -> None:
        request.part(data, **headers)
        request.send(data[request.start :])
        request.hang_up()

    return send


def changed(request: Request, data: bytes) -> None:
    """As many bytes, one of them another."""
    request.part(data)
    request.send((data[:-1] + bytes([data[-1] ^ 1]))[request.start :])


def says(status: int, body: bytes = b"", **headers: object) -> Callable[..., None]:
    """An answer of any kind, to a question or to a request of bytes."""
    spelled = {name.replace("_", "-"): value for name, value in headers.items()}

    def send(request: Request, *_: bytes) -> None:
        request.answer(status, spelled, body)

    return send


def hang_up(request: Request, *_: bytes) -> None:
    """No answer at all."""
    request.hang_up()


def silent(request: Request, *_: bytes) -> None:
    """Nothing, until the client has enough of it."""
    request.wait_for_its_end()
    request.hang_up()


def silent_after(n_bytes: int) -> Bytes:
    """So many bytes, and then nothing until the client has enough of it."""

    def send(request: Request, data: bytes) -> None:
        request.part(data)
        request.send(data[request.start : request.start + n_bytes])
        silent(request)

    return send


def slow_head(request: Request, *_: bytes) -> None:
    """The head of an answer that never ends, a byte now and then."""
    request.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        request.send(b"x")
        time.sleep(0.05)


@contextlib.contextmanager
def running_hub(certificate: Path | None = None) -> Iterator[LocalHub]:
    """A hub and its storage on two ports of this machine, as long as the context lasts.

    With a certificate (and its key, in one file) connections are encrypted.
    """
    hub = LocalHub()
    servers = []
    scheme = "http" if certificate is None else "https"
    for is_storage in (False, True):
        server = _Server(("127.0.0.1", 0), Request)
        server.hub, server.is_storage = hub, is_storage
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake belongs to the thread of a connection, not to the one that accepts.
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
    # Another name is another host, which must not be given the token.
    hub.url = f"{scheme}://127.0.0.1:{servers[0].server_port}"
    hub.storage = f"{scheme}://localhost:{servers[1].server_port}"
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def main(folder: str, repository: str, *command: str) -> int:
    """Run a command with HF_ENDPOINT; its exit code."""
    with running_hub() as hub:
        hub.names["main"] = "a" * 40
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        hub.add(repository, hub.names["main"], files)
        return subprocess.run(command, env={**os.environ, "HF_ENDPOINT": hub.url}).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
