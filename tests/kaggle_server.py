"""A Kaggle on this machine: it answers the real kagglehub client, and fails as it is told."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STORAGE = "http://localhost/storage/archive.zip"


def small_set(n_images: int = 3, n_masks: int = 2, n_more_bytes: int = 0) -> bytes:
    """A zip in the layout of the Kaggle set, with files that are no real pictures."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("set/more.bin", os.urandom(n_more_bytes))
        for n in range(n_images):
            archive.writestr(f"set/scan{n}.jpg", os.urandom(20))
            archive.writestr(f"set/scan{n}.txt", b"0 0.5 0.5 0.1 0.1")
        for n in range(n_masks):
            archive.writestr(f"set/scan{n}_mask.png", os.urandom(20))
    return buffer.getvalue()


class KaggleServer(ThreadingHTTPServer):
    """Serves one data set; the client comes to it as to a proxy, so nothing of the client is replaced.

    Attributes:
        archive: Bytes of the zip.
        answers: Status (and headers) of the next calls to the API; 200 once they are used up.
        cuts: After how many bytes the next downloads break off.
        md5: What the checksum header says; None for the truth.
        ranges: Whether a download can be resumed.
        calls: What was asked for, in order: "GetDataset", "DownloadDataset", "bytes 0-", ...
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.archive = small_set()
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.cuts: list[int] = []
        self.md5: str | None = None
        self.ranges = True
        self.calls: list[str] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def environment(self, folder: Path) -> dict[str, str]:
        """Variables that bring kagglehub here, and keep the user's own cache and token out."""
        return {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "http_proxy": f"http://127.0.0.1:{self.server_address[1]}",
            "no_proxy": "",
            "NO_PROXY": "",
            "HOME": str(folder / "user"),
            "KAGGLE_CONFIG_DIR": str(folder / "user"),
            "KAGGLEHUB_CACHE": str(folder / "cache"),
            "KAGGLE_CACHE_MOUNT_FOLDER": str(folder / "kaggle input"),
        }


class _Handler(BaseHTTPRequestHandler):
    server: KaggleServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        call = self.path.rpartition("/")[2]
        self.server.calls.append(call)
        status, headers = self.server.answers.pop(0) if self.server.answers else (200, {})
        if status == 200 and headers:  # a page to sign in, in place of Kaggle
            self._answer(200, b"<html>sign in</html>", headers)
        elif status != 200:
            self._answer(status, json.dumps({"code": status, "message": "no"}).encode(), headers)
        elif call == "GetDataset":
            self._answer(200, json.dumps({"currentVersionNumber": 1}).encode(), headers)
        else:
            self._answer(302, b"", {"Content-Type": "text/html", "Location": STORAGE})

    def do_GET(self) -> None:
        server, start = self.server, 0
        if server.ranges and (wanted := self.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        server.calls.append(f"bytes {start}-")
        md5 = server.md5 or base64.b64encode(hashlib.md5(server.archive).digest()).decode()
        headers = {"Content-Type": "application/zip", "x-goog-hash": f"md5={md5}"}
        headers |= {"Accept-Ranges": "bytes"} if server.ranges else {}
        body = server.archive[start:]
        cut = server.cuts.pop(0) if server.cuts else None
        self._answer(206 if start else 200, body, headers, cut)

    def _answer(self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = cut is not None

    def log_message(self, *_: object) -> None:
        pass
