"""A real browser for pages with a script: headless Chromium, driven over chromedriver's protocol (W3C WebDriver)."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
_KEYS = {"End": "\ue010", "Home": "\ue011", "Left": "\ue012", "Right": "\ue014", "Escape": "\ue00c", "Tab": "\ue004"}


class Browser:
    """One window: `open` a file, run script in it, press keys, and see what the console says."""

    def __init__(self, port: int, profile: Path) -> None:
        self.at = f"http://127.0.0.1:{port}/session"
        options = {"args": [*_FLAGS, f"--user-data-dir={profile}"], "binary": shutil.which("chromium")}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.at += "/" + self._send("", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def _send(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.at + path, data, {"Content-Type": "application/json"}), timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path) -> None:
        self._send("/url", {"url": path.resolve().as_uri()})

    def run(self, script: str) -> Any:
        return self._send("/execute/sync", {"script": script, "args": []})

    def press(self, *keys: str) -> None:
        typed = [_KEYS.get(key, key) for key in keys]
        actions = [{"type": kind, "value": key} for key in typed for kind in ("keyDown", "keyUp")]
        self._send("/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def drag(self, x: int, y: int, to_x: int, to_y: int) -> None:
        move = {"type": "pointerMove", "duration": 0}
        actions = [{**move, "x": x, "y": y}, {"type": "pointerDown", "button": 0}, {**move, "x": to_x, "y": to_y}]
        mouse = {"type": "pointer", "id": "mouse", "actions": [*actions, {"type": "pointerUp", "button": 0}]}
        self._send("/actions", {"actions": [mouse]})

    def screen(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._devtools("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", {"features": [scheme]})

    def _devtools(self, command: str, params: dict[str, Any]) -> Any:
        return self._send("/goog/cdp/execute", {"cmd": command, "params": params})

    def screenshot(self) -> str:
        """Return the window as a PNG in base64."""
        return self._send("/screenshot")

    def complaints(self) -> list[str]:
        """Return what the console said since the last call."""
        return [entry["message"] for entry in self._send("/se/log", {"type": "browser"})]

    def close(self) -> None:
        urlopen(Request(self.at, method="DELETE"), timeout=60).close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Return a window of headless Chromium; skip where there is none."""
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("no browser: install chromium and chromium-driver")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        window = Browser(port, tmp_path_factory.mktemp("profile"))
        yield window
        window.close()
    finally:
        driver.terminate()
        driver.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("chromedriver does not answer")
