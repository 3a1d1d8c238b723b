"""Headless Firefox, driven by Marionette, its own remote control, over a local socket."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from chromium import PATIENCE, Page

#: No requests of its own, no pages but ours.
_PREFERENCES = {
    "marionette.port": 0,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "extensions.getAddons.cache.enabled": False,
}
_EVALUATE = """
const done = arguments[arguments.length - 1];
Promise.resolve(window.eval(arguments[0])).then(
    (value) => done({value: value === undefined ? null : JSON.stringify(value)}),
    (error) => done({error: String(error)}));
"""
#: Errors of scripts of pages, of which Firefox keeps a list.
_ERRORS = """
return Services.console.getMessageArray().filter((message) => {
    return message instanceof Ci.nsIScriptError && !(message.flags & Ci.nsIScriptError.warningFlag)
        && /^(file|http):/.test(message.sourceName);
}).map(String);
"""


def find_firefox() -> str | None:
    return next((path for path in map(shutil.which, ("firefox-esr", "firefox")) if path), None)


class Firefox(Page):
    """One page. A message is its length, a colon and JSON: [0, number, command, parameters]."""

    def __init__(self, profile: Path, width: int = 1200, height: int = 800) -> None:
        profile.mkdir()
        lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in _PREFERENCES.items())
        (profile / "user.js").write_text("\n".join(lines))
        self._process = subprocess.Popen(
            [
                str(find_firefox()), "--headless", "--no-remote", "--marionette",
                "--remote-allow-system-access", "--profile", str(profile),
                "--width", str(width), "--height", str(height),
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"},
        )  # fmt: skip
        try:
            self._socket = self._connect(profile / "MarionetteActivePort")
        except BaseException:
            self._kill()
            raise
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._receive()
        self.call("WebDriver:NewSession")

    def _connect(self, told: Path) -> socket.socket:
        deadline = time.monotonic() + PATIENCE
        while not (told.is_file() and told.read_text().strip()):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise TimeoutError("Firefox does not start")
            time.sleep(0.1)
        return socket.create_connection(("127.0.0.1", int(told.read_text())), timeout=PATIENCE)

    def call(self, command: str, **parameters: Any) -> Any:
        message = json.dumps([0, next(self._numbers), command, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(message), message))
        _, _, error, result = self._receive()
        if error:
            raise RuntimeError(f"{command}: {error['message']}")
        return result

    def _receive(self) -> Any:
        while b":" not in self._buffer:
            self._read()
        length, _, self._buffer = self._buffer.partition(b":")
        while len(self._buffer) < int(length):
            self._read()
        message = self._buffer[: int(length)]
        self._buffer = self._buffer[int(length) :]
        return json.loads(message)

    def _read(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            raise TimeoutError("Firefox has gone")
        self._buffer += data

    def open(self, url: str) -> None:
        self.call("WebDriver:Navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        script = {"script": _EVALUATE, "args": [expression]}
        answer = self.call("WebDriver:ExecuteAsyncScript", **script)["value"]
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return json.loads(answer["value"] or "null")

    @property
    def log(self) -> list[str]:  # type: ignore[override]
        """Errors of the page's scripts."""
        self.call("Marionette:SetContext", value="chrome")
        try:
            return self.call("WebDriver:ExecuteScript", script=_ERRORS, args=[])["value"]
        finally:
            self.call("Marionette:SetContext", value="content")

    def screenshot(self, path: Path) -> None:
        reply = self.call("WebDriver:TakeScreenshot", full=False)
        path.write_bytes(base64.b64decode(reply["value"]))

    def close(self) -> None:
        self._socket.close()
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
