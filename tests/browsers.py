"""Jupyter servers and a browser for tests that look at pages: JupyterLab 4, and the classic Notebook 6.

with jupyterlab(home) as address, chromium() as browser:
    page = browser.new_page()
    page.goto(address("lesson.ipynb"))

The classic Notebook runs with ipywidgets 7.7.1, as Colab does. Neither fits beside JupyterLab 4, so both lie
in a virtual environment of their own, `.venv-classic`, that borrows torch and all the rest from the one that
runs the tests. It is built when it is first asked for.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}
SETTINGS = {  # no news pop-up; every cell in the page, not only those in view
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "notebook-extension/tracker": '{"windowingMode": "none"}',
}
PIXELS = """async image => {  // height, width and hash, exactly as the browser has decoded them
    const src = image.src;
    try { await image.decode(); } catch { return [0, 0, "being replaced"]; }
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d", {willReadFrequently: true});
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", pixels));
    const text = Array.from(hash, byte => byte.toString(16).padStart(2, "0")).join("");
    return image.src === src ? [canvas.height, canvas.width, text] : [0, 0, "being replaced"];
}"""
CLASSIC = ROOT / ".venv-classic"
CLASSIC_PACKAGES = ("notebook==6.5.7", "ipywidgets==7.7.1", "jupyter-client==7.4.9", "ipykernel==6.29.5")

Address = Callable[[str], str]  # of a notebook in the server's folder


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 20) -> None:
    """Poll a condition; fail, saying what did not happen."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"After {seconds} s still not: {what}.")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=1).status == 200
    except OSError:
        return False


def end_kernels(address: Address) -> None:
    """End all kernels of a server, so that they neither work on nor keep memory."""
    place = urlsplit(address("any.ipynb"))
    kernels = f"{place.scheme}://{place.netloc}/api/kernels"
    header = {"Authorization": f"token {parse_qs(place.query)['token'][0]}"}
    with urllib.request.urlopen(urllib.request.Request(kernels, headers=header), timeout=20) as answer:
        names = [kernel["id"] for kernel in json.load(answer)]
    for name in names:
        end = urllib.request.Request(f"{kernels}/{name}", headers=header, method="DELETE")
        urllib.request.urlopen(end, timeout=20).close()


@contextmanager
def _server(home: Path, url: str, command: Sequence[str], variables: Mapping[str, str]) -> Iterator[None]:
    """Start a server with folders of its own below `home`, and wait until an address answers.

    Args:
        home: Folder of the notebooks; the server writes its log there.
        url: What must answer.
        command: What starts it.
        variables: Environment variables of the server and its kernels, on top of ours without UNET_HOME.
    """
    folders = {name: str(home / folder) for name, folder in FOLDERS.items()}
    ours = {name: value for name, value in os.environ.items() if name != "UNET_HOME"}
    environment = ours | folders | {"PYTHONPATH": str(ROOT)} | dict(variables)
    with open(home / "server.log", "w") as log:
        server = subprocess.Popen(list(command), env=environment, stdout=log, stderr=log, cwd=home)
    try:
        wait_until(lambda: answers(url) or server.poll() is not None, "Jupyter answers", 120)
        if server.poll() is not None:
            pytest.fail(f"Jupyter ended at once: {(home / 'server.log').read_text()[-1000:]}")
        yield
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def jupyterlab(home: Path, variables: Mapping[str, str] | None = None) -> Iterator[Address]:
    """Start a JupyterLab of its own in a folder; gives what turns a notebook there into an address.

    Args:
        home: An empty folder, or one with notebooks.
        variables: Environment variables of the kernels, such as UNET_HOME, which is unset otherwise: lessons
            then use the data and the network of this checkout.
    """
    for name, text in SETTINGS.items():
        settings = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text(text)
    port, token = free_port(), secrets.token_hex(8)
    options = ["--no-browser", "--allow-root", f"--ServerApp.root_dir={home}", f"--ServerApp.port={port}"]
    command = [sys.executable, "-m", "jupyterlab", *options, f"--IdentityProvider.token={token}"]
    with _server(home, f"http://127.0.0.1:{port}/lab?token={token}", command, variables or {}):
        yield lambda name: f"http://127.0.0.1:{port}/lab/tree/{name}?token={token}&reset"


@contextmanager
def classic_notebook(home: Path, variables: Mapping[str, str] | None = None) -> Iterator[Address]:
    """Start a Notebook 6 whose kernels have ipywidgets 7.7.1; arguments and result as for `jupyterlab`."""
    python, port, token = classic_python(), free_port(), secrets.token_hex(8)
    options = ["--no-browser", "--allow-root", f"--NotebookApp.notebook_dir={home}", f"--port={port}"]
    command = [str(python), "-m", "notebook", *options, f"--NotebookApp.token={token}"]
    with _server(home, f"http://127.0.0.1:{port}/tree?token={token}", command, variables or {}):
        yield lambda name: f"http://127.0.0.1:{port}/notebooks/{name}?token={token}"


def classic_python(place: Path = CLASSIC) -> Path:
    """The Python of `.venv-classic`, which is built if it is not there or has other versions.

    Args:
        place: Where it lies.
    """
    with FileLock(place.with_name(f"{place.name}.lock")):  # two processes may ask for it at once
        return _classic_python(place)


def _classic_python(place: Path) -> Path:
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, wanted = place / "packages.txt", "\n".join([sys.version, *CLASSIC_PACKAGES])
    if stamp.is_file() and stamp.read_text() == wanted and python.exists():
        return python
    pytest.importorskip("uv", reason="needs uv: pip install uv")
    uv = [sys.executable, "-m", "uv", "--system-certs", "--quiet"]
    in_it = ["--python", str(python)]
    for command in (
        [*uv, "venv", "--clear", "--python", sys.executable, str(place)],
        [*uv, "pip", "install", *in_it, *CLASSIC_PACKAGES],
    ):
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            pytest.fail(f"Notebook 6 with ipywidgets 7 could not be installed: {made.stderr}", pytrace=False)
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    packages = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    (packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")  # its own ones come first
    stamp.write_text(wanted)
    return python


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a headless Chromium; without one the test is skipped, or fails with UNET_TESTS_STRICT=1."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        without = pytest.fail if os.environ.get("UNET_TESTS_STRICT") == "1" else pytest.skip
        without("needs Chromium or Chrome on the PATH, for example: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()
