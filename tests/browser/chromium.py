"""Headless Chromium, driven over its debugging pipe, and a web server with byte ranges."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import http.server
import itertools
import json
import os
import re
import select
import shutil
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Seconds until a browser that does not start or answer is given up.
PATIENCE = 300
#: The network is not needed, and Chromium's own requests only slow it down where there is none.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--force-device-scale-factor=1",
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for path in map(shutil.which, names) if path), None)


class Page(ABC):
    """What tests do with a page of any browser."""

    log: list[str]

    @abstractmethod
    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression, awaited if it is a promise."""

    def wait_for(self, expression: str, seconds: float = PATIENCE) -> Any:
        """The first true value of an expression."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(RuntimeError):
                if value := self.evaluate(expression):
                    return value
            if time.monotonic() > deadline:
                text = self.evaluate("document.body && document.body.innerText")
                raise TimeoutError(f"never true: {expression}; the page says {text}; {self.log}")
            time.sleep(0.05)


class Chromium(Page):
    """One page. Messages are JSON, ended by a zero byte, on descriptors 3 and 4 of the browser."""

    def __init__(self, profile: Path, width: int = 1200, height: int = 800) -> None:
        ends = os.pipe(), os.pipe()
        # Out of the way of 3 and 4, where the browser looks for its ends.
        copies = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for pair in ends for end in pair]
        for end in itertools.chain(*ends):
            os.close(end)
        to_browser, self._write, self._read, from_browser = copies

        def place() -> None:
            os.dup2(to_browser, 3)
            os.dup2(from_browser, 4)

        command = [str(find_chromium()), *FLAGS, f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(
            [*command, f"--window-size={width},{height}", "about:blank"],
            close_fds=False,
            preexec_fn=place,
            # Its socket lies there, and the path of one has 107 bytes at most.
            env={**os.environ, "TMPDIR": "/tmp"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session: str | None = None
        #: What the console of the page said.
        self.log: list[str] = []
        #: Addresses that the page asked for, and requests that came to nothing, since `watch`.
        self.requests: list[str] = []
        self.failures: list[str] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        self.call("Page.enable")
        self.call("Runtime.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            reply = self._next_message(deadline)
            if reply.get("id") == number:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']}")
                return reply["result"]
            self._note(reply.get("method"), reply.get("params", {}))

    def _note(self, event: str | None, told: dict[str, Any]) -> None:
        if event in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.log.append(json.dumps(told)[:600])
        elif event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event == "Network.loadingFailed":
            self.failures.append(json.dumps(told)[:600])

    def _next_message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            if not data:
                raise TimeoutError("Chromium does not answer")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def watch(self) -> None:
        """Keep an eye on requests, and on what the browser itself says of the page."""
        self.call("Network.enable")
        self.call("Log.enable")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression, awaited if it is a promise."""
        reply = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in reply:
            raise RuntimeError(json.dumps(reply["exceptionDetails"])[:600])
        return reply["result"].get("value")

    def choose_files(self, selector: str, files: list[Path]) -> None:
        """What a reader does who picks files for an input."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def screenshot(self, path: Path) -> None:
        reply = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(reply["data"]))

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._write)
        os.close(self._read)


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files with byte ranges, and a list of what was asked for."""

    requests: list[tuple[str, int]]

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        status = 206 if wanted else 200
        if not path.is_file():
            self.requests.append((self.path, 404))
            self.send_error(404)
            return
        data = path.read_bytes()
        self.requests.append((self.path, status))
        self.send_response(status)
        if wanted:
            start = int(wanted[1])
            end = min(int(wanted[2] or len(data) - 1), len(data) - 1)
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
            data = data[start : end + 1]
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Address of a folder, and the requests so far as (path, status)."""
    requests: list[tuple[str, int]] = []
    handler = functools.partial(
        type("Handler", (_Handler,), {"requests": requests}), directory=str(folder)
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
