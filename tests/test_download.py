"""The Kaggle set, fetched by the real kagglehub client from a server on this machine that fails as told."""

import errno
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from kaggle_server import KaggleServer, small_set

from unet_helpers.engine.calm import Stopped
from unet_helpers.folders import kaggle
from unet_helpers.folders.kaggle import DownloadError, kaggle_dataset

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"images": 3, "box files": 3, "masks": 2}
BY_HAND = (
    r" By hand: download it in a browser from https://www\.kaggle\.com/\S+, put the zip at \S+\.zip \(or any"
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    server = KaggleServer()
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_KERNEL_RUN_TYPE", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**server.environment(tmp_path), "UNET_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(kaggle, "COUNTS", SMALL)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, which are noted and not slept through."""
    waits: list[float] = []
    monkeypatch.setattr(kaggle.time, "sleep", waits.append)
    return waits


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "datasets" / kaggle.HANDLE


def left_in(cache: Path) -> set[str]:
    """What a failure leaves, apart from the lock."""
    files = {path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file()}
    return files - {".lock"}


def test_the_set_is_downloaded_once(server: KaggleServer, cache: Path, waits: list[float]):
    folder = kaggle_dataset()
    assert sorted(path.name for path in folder.rglob("*.jpg")) == ["scan0.jpg", "scan1.jpg", "scan2.jpg"]
    assert server.calls == ["GetDataset", "DownloadDataset", "bytes 0-"] and not waits
    server.answers = [(500, {})]
    assert (
        kaggle_dataset() == folder and len(server.calls) == 3
    )  # nobody is asked again: works without network
    assert not list(cache.glob("*.archive"))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((404, {}), r"Kaggle knows no bemorekgg/kidney-stone-segmentation-dataset \(404\)\."),
        ((403, {}), r"Kaggle refuses it \(403\)\."),
        ((401, {}), r"Kaggle refuses it \(401\)\."),
        ((400, {}), r"Kaggle answers with the error 400\."),
        ((429, {"Retry-After": "600"}), r"too many requests from here \(429\)\. Come back in 10 minutes\."),
    ],
)
def test_what_will_not_pass_is_told_at_once(
    server: KaggleServer, cache: Path, waits: list[float], answer, told
):
    server.answers = [answer]
    with pytest.raises(DownloadError, match="^the Kaggle set could not be downloaded: .*" + told + BY_HAND):
        kaggle_dataset()
    assert len(server.calls) == 1 and not waits and left_in(cache) == set()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((500, {}), r"Kaggle's server fails \(500\)\."),
        ((429, {}), r"Kaggle has had too many requests from here \(429\)\."),
    ],
)
def test_what_may_pass_is_tried_again_with_longer_and_longer_pauses(
    server: KaggleServer, cache: Path, waits: list[float], answer, told: str, capsys
):
    server.answers = [answer] * 2
    assert kaggle_dataset().is_dir() and waits == [2, 4]
    assert "The Kaggle set: Kaggle" in (out := capsys.readouterr().out) and "Next try in 4 s (2 of 5" in out
    for path in cache.glob("1.complete"):
        path.unlink()
    server.answers = [answer] * 5
    waits.clear()
    with pytest.raises(DownloadError, match=told + BY_HAND):
        kaggle_dataset()
    assert waits == [2, 4, 8, 16] and left_in(cache) == set()


@pytest.mark.parametrize("as_date", [False, True])
def test_kaggle_says_how_long_to_wait(server: KaggleServer, waits: list[float], as_date: bool):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=31), usegmt=True)
    server.answers = [(429, {"Retry-After": date if as_date else "30"})]
    assert kaggle_dataset().is_dir()
    assert (10 if as_date else 29) <= waits[0] <= 31 and len(waits) == 1  # a date is read a little later


MEGABYTE = 2**20  # kagglehub writes in pieces of this size


def test_a_cut_download_goes_on_where_it_stopped(server: KaggleServer, waits: list[float]):
    server.archive = small_set(n_more_bytes=3 * MEGABYTE)
    server.cuts = [MEGABYTE + 100, 0, MEGABYTE + 200]  # 0: kagglehub only looks at the head, and asks again
    assert kaggle_dataset().is_dir() and waits == [2, 4]
    resumed = [call for call in server.calls if call.startswith("bytes") and call != "bytes 0-"]
    assert resumed == [f"bytes {MEGABYTE}-", f"bytes {2 * MEGABYTE}-"]


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # kagglehub 0.4 closes no socket
def test_a_download_that_is_always_cut_keeps_what_arrived(
    server: KaggleServer, cache: Path, waits: list[float]
):
    server.archive = small_set(n_more_bytes=2 * MEGABYTE)
    server.cuts = [MEGABYTE + 100, 0, 0, 0, 0]
    told = r"the connection was cut\. A later try goes on after the 1\.0 MB that are there\."
    with pytest.raises(DownloadError, match=told + BY_HAND):
        kaggle_dataset(n_tries=3)
    assert left_in(cache) == {"1.archive"}
    assert kaggle_dataset().is_dir() and server.calls[-1] == f"bytes {MEGABYTE}-"


def test_a_server_without_ranges_begins_again(server: KaggleServer, waits: list[float]):
    server.ranges = False
    server.archive = small_set(n_more_bytes=2 * MEGABYTE)
    server.cuts = [MEGABYTE + 100]
    assert kaggle_dataset().is_dir() and waits == [2]


def test_a_wrong_checksum_is_damage_and_nothing_of_it_is_kept(
    server: KaggleServer, cache: Path, waits: list[float]
):
    server.md5 = "AAAAAAAAAAAAAAAAAAAAAA=="
    with pytest.raises(DownloadError, match=r"damaged, for its checksum is wrong\." + BY_HAND):
        kaggle_dataset(n_tries=2)
    assert waits == [2] and left_in(cache) == set()


@pytest.mark.parametrize("what", ["no zip", "half a zip", "flipped byte"])
def test_no_zip_is_thrown_away_and_a_later_try_succeeds(
    server: KaggleServer, cache: Path, waits: list[float], what: str
):
    good = server.archive
    middle = good.index(b"scan1.jpg") + 12
    server.archive = {
        "no zip": b"<html>sign in</html>",
        "half a zip": good[: len(good) // 2],
        "flipped byte": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
    }[what]
    with pytest.raises(DownloadError, match=r"what arrived is no whole zip\." + BY_HAND):
        kaggle_dataset(n_tries=2)
    assert left_in(cache) == set()
    server.archive = good
    assert kaggle_dataset().is_dir()


def test_no_network(server: KaggleServer, waits: list[float], cache: Path, monkeypatch: pytest.MonkeyPatch):
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    for name in ("http_proxy", "KAGGLE_API_ENVIRONMENT"):
        monkeypatch.delenv(name)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadError, match=r"Kaggle cannot be reached from this machine\." + BY_HAND):
        kaggle_dataset(n_tries=2)
    assert waits == [2] and left_in(cache) == set()


def test_a_network_where_one_signs_in_first(server: KaggleServer, waits: list[float]):
    server.answers = [(200, {"Content-Type": "text/html"})] * 2
    with pytest.raises(
        DownloadError, match=r"another server than Kaggle answers, as in networks" + ".*" + BY_HAND
    ):
        kaggle_dataset(n_tries=2)


def test_a_proxy_that_lets_nothing_through(
    server: KaggleServer, waits: list[float], monkeypatch: pytest.MonkeyPatch
):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(
            DownloadError, match=r"the proxy of this network lets nothing through\." + BY_HAND
        ):
            kaggle_dataset(n_tries=1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_disk_that_is_full_while_downloading(server: KaggleServer, cache: Path, waits: list[float]):
    cache.mkdir(parents=True)
    (cache / "1.archive").symlink_to("/dev/full")
    with pytest.raises(
        DownloadError, match=r"No space left.* Free some disk space\. Or set KAGGLEHUB"
    ) as told:
        kaggle_dataset()
    assert "By hand" not in str(told.value) and "set UNET_DATA to a zip or folder" in str(told.value)
    assert not waits and not list(cache.glob("versions/*"))


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_nothing_half_unpacked_is_left(
    server: KaggleServer,
    cache: Path,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    stop: BaseException,
):
    extract = zipfile.ZipFile._extract_member

    def stop_at_the_third(self, member, *args):
        if str(getattr(member, "filename", member)).endswith("scan1.jpg"):
            raise stop
        return extract(self, member, *args)

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "_extract_member", stop_at_the_third)
        expected = Stopped if isinstance(stop, KeyboardInterrupt) else DownloadError
        with pytest.raises(expected) as told:
            kaggle_dataset()
    text = str(told.value)
    assert "it goes on from there" in text if expected is Stopped else "Free some disk space." in text
    assert left_in(cache) == {"1.archive"} and not list(cache.glob("versions/*"))
    assert kaggle_dataset().is_dir()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_may_not_be_written(server: KaggleServer, tmp_path: Path):
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(DownloadError, match=r"Permission denied\. Change its permissions.*KAGGLEHUB_CACHE"):
        kaggle_dataset()


def test_a_file_in_the_place_of_the_cache(server: KaggleServer, tmp_path: Path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(
        DownloadError, match=r"A file stands where a folder is needed.*KAGGLEHUB_CACHE"
    ) as told:
        kaggle_dataset()
    assert "By hand" not in str(told.value)


def test_a_refused_token_is_named_where_one_was_sent(server: KaggleServer, tmp_path: Path):
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "kaggle.json").write_text('{"username": "me", "key": "old"}')
    server.answers = [(401, {})]
    with pytest.raises(
        DownloadError, match=r"\(401\)\. The set needs no account, .* remove \S+kaggle\.json\. By hand"
    ):
        kaggle_dataset()


def test_a_broken_token_file_is_named(server: KaggleServer, tmp_path: Path, waits: list[float]):
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "kaggle.json").write_text("{")
    with pytest.raises(DownloadError, match=r"Invalid Kaggle credentials file at \S+kaggle\.json\. By hand"):
        kaggle_dataset()
    assert not waits


def test_missing_files_are_counted_and_the_ways_out_named(server: KaggleServer, cache: Path):
    server.archive = small_set(n_images=2, n_masks=2)
    with pytest.raises(
        DownloadError,
        match=r"versions.1 must hold 3 images, 3 box files and 2 masks, got 2 images, 2 box files and 2 "
        r"masks: .* Delete this folder, and it is downloaded again; or set UNET_DATA to this folder",
    ):
        kaggle_dataset()
    assert (cache / "versions" / "1").is_dir()


@pytest.mark.parametrize("place", ["datasets/" + kaggle.HANDLE, "kidney-stone-segmentation-dataset"])
def test_an_attached_set_comes_first(server: KaggleServer, tmp_path: Path, place: str):
    kaggle_dataset()
    n_calls = len(server.calls)
    folder = tmp_path / "kaggle input" / place
    folder.mkdir(parents=True)
    (tmp_path / "set.zip").write_bytes(server.archive)
    with zipfile.ZipFile(tmp_path / "set.zip") as archive:
        archive.extractall(folder)
    assert kaggle_dataset() == folder and len(server.calls) == n_calls
    next(folder.rglob("*.jpg")).unlink()
    with pytest.raises(DownloadError, match=r"got 2 images, .* Attach it to the notebook again; or set UNET"):
        kaggle_dataset()


def test_on_kaggle_the_way_by_hand_is_another(server: KaggleServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    server.answers = [(404, {})]
    with pytest.raises(
        DownloadError, match=r"By hand: press Add Input, search for bemorekgg/kidney-stone-seg"
    ):
        kaggle_dataset()


def test_the_zip_that_was_put_there_by_hand_is_found(server: KaggleServer, tmp_path: Path):
    server.answers = [(404, {})]
    with pytest.raises(DownloadError) as told:
        kaggle_dataset()
    place = Path(str(told.value).partition("put the zip at ")[2].partition(" (or")[0])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(server.archive)
    assert kaggle_dataset().parent == tmp_path / "home" / "data" and len(server.calls) == 1


def test_two_notebooks_at_once_share_one_download(server: KaggleServer, cache: Path, tmp_path: Path):
    server.archive = small_set(1054, 957)
    program = "from unet_helpers.folders import kaggle; print('at', kaggle.kaggle_dataset())"  # true counts
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(2)
    ]
    texts = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    assert all(f"at {cache / 'versions' / '1'}" in out for out, _ in texts)
    assert server.calls == ["GetDataset", "DownloadDataset", "bytes 0-"]
