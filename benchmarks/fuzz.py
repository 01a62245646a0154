"""Damaged files through `check`, zips through `unpack`, sizes and depths through the readers: what is lost?

Lost is a case that ends a process, takes five minutes or more memory than allowed, warns of a number that is
none, raises anything but the one sentence (ValueError) that names the file, or is missing from the report of
`check`. Files are small (24 x 20 pixels), so that many can be tried; a case can be made again from its seed.

    python benchmarks/fuzz.py --cases 100000 --scratch /dev/shm
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from unet_helpers.data import load_image, load_mask
from unet_helpers.folders import zips
from unet_helpers.folders.check import check_folder
from unet_helpers.folders.finding import scan_folder

PAIRS_A_FOLDER = 250
MEMORY_BYTES = 8 * 2**30  # address space of a process; Pillow may ask for 4 GiB, and use none of it
SECONDS = 300  # for a folder; a whole one takes one second, an image of 170 megapixels among them a minute
WIDTH, HEIGHT = 24, 20

Maker = Callable[[random.Random], bytes]


# --------------------------------------------------------------------------------------------- whole files
def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.copy().save(buffer, kind, **options)
    return buffer.getvalue()


def deep_png(values: np.ndarray) -> bytes:
    """A PNG of 16-bit colours (H, W, 3), which Pillow does not write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = width.to_bytes(4) + height.to_bytes(4) + bytes([16, 2, 0, 0, 0])

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4)

    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def whole_files() -> dict[str, bytes]:
    """Images and masks of every kind that a data set may hold, by an ending of their own."""
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH), np.uint8))
    mask = Image.fromarray(np.kron(np.eye(2, dtype=np.uint8), np.full((10, 12), 255, np.uint8)))
    colour = Image.merge("RGB", [grey, mask, grey])
    deep = Image.fromarray(rng.integers(0, 4096, (HEIGHT, WIDTH), np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        **{
            f"{mode}.png": _saved(colour.convert(mode), "PNG")
            for mode in ("1", "L", "LA", "P", "RGB", "RGBA")
        },
        "mask.png": _saved(mask, "PNG"),
        "interlaced.png": _saved(mask, "PNG", exif=exif),
        "16.png": _saved(deep, "PNG"),
        "48.png": deep_png(rng.integers(0, 65536, (HEIGHT, WIDTH, 3))),
        **{f"{mode}.jpg": _saved(colour.convert(mode), "JPEG") for mode in ("L", "RGB", "CMYK")},
        "progressive.jpg": _saved(colour, "JPEG", progressive=True, exif=exif),
        "mask.jpg": _saved(mask, "JPEG"),
        **{
            f"{mode}-{name}.tif": _saved(colour.convert(mode), "TIFF", compression=name)
            for mode in ("L", "RGB")
            for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        },
        "1.tif": _saved(mask.convert("1"), "TIFF", compression="group4"),
        "16.tif": _saved(deep, "TIFF"),
        "16-lzw.tif": _saved(deep, "TIFF", compression="tiff_lzw"),
        "float.tif": _saved(Image.fromarray(np.asarray(deep, np.float32) / 4095), "TIFF"),
        "pages.tif": _saved(grey, "TIFF", compression="tiff_lzw", save_all=True, append_images=[mask.copy()]),
    }


# --------------------------------------------------------------------------------------------- damaged files
def mutated(raw: bytes, rng: random.Random) -> bytes:
    """The same bytes with 1 to 8 faults: changed, removed, added, doubled, cut, or the largest of numbers."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(len(data)) if data else 0
        length = rng.choice((1, 1, 2, 4, 16))
        kind = rng.randrange(7)
        if kind < 3:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 3:
            data[at : at + 4] = rng.choice((b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"))
        elif kind == 4:
            del data[at : at + length]
        elif kind == 5:
            data[at:at] = data[at : at + length] if rng.random() < 0.5 else rng.randbytes(length)
        elif rng.random() < 0.1:
            del data[at:]
    return bytes(data)


def cut_short(raw: bytes, rng: random.Random) -> bytes:
    """What a broken connection leaves: 0 to 9 tenths of a file."""
    return raw[: len(raw) * rng.randrange(10) // 10]


def write_folder(
    folder: Path, rng: random.Random, n_pairs: int, damage: Callable[[bytes, random.Random], bytes]
) -> int:
    """Pairs of which image and mask are damaged; returns the number of files."""
    files = list(whole_files().items())
    for n in range(n_pairs):
        for end in ("", "_mask"):
            name, raw = rng.choice(files)
            (folder / f"{n}{end}{Path(name).suffix}").write_bytes(damage(raw, rng))
    return 2 * n_pairs


def unaccounted(folder: Path, n_files: int) -> int:
    """How many files the report of `check` does not account for; a file out of memory counts as well.

    Raises:
        Exception: Whatever `check` does not turn into a sentence.
    """
    images = {pair.image_path.name for pair in scan_folder(folder).pairs}
    report = check_folder(folder, progress=False, window=(40, 400))
    broken = {one["file"] for one in report["broken"]}
    alone = {*report["images_without_mask"], *report["masks_without_image"]} | (broken - images)
    n_told = sum(report["sizes"].values()) + len(broken & images)
    out_of_memory = sum("memory" in one["reason"] for one in report["broken"])
    return abs(n_files - 2 * len(images) - len(alone)) + abs(len(images) - n_told) + out_of_memory


# ------------------------------------------------------------------------------------------------ the kinds
def damaged(folder: Path, seed: int, n: int) -> int:
    """Files with small faults in one folder, through `check`; returns how many are lost."""
    return unaccounted(folder, write_folder(folder, random.Random(seed), n // 2, mutated))


def cut(folder: Path, seed: int, n: int) -> int:
    """Files that end after 0 to 9 tenths."""
    return unaccounted(folder, write_folder(folder, random.Random(seed), n // 2, cut_short))


def zipped(folder: Path, seed: int, n: int) -> int:
    """Zips with small faults."""
    rng, lost = random.Random(seed), 0
    for k in range(n):
        buffer = io.BytesIO()
        method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("set/images/a.png", b"stone " * 30)
            archive.writestr("set/masks/a.png", rng.randbytes(50))
        path, inside = folder / f"{k}.zip", folder / f"{k}"
        path.write_bytes(mutated(buffer.getvalue(), rng))
        inside.mkdir()
        try:
            zips._extract(path, inside)  # what `unpack` does in its scratch folder
        except ValueError as error:
            lost += f"{k}.zip must" not in str(error)
    stray = {path.name for path in folder.iterdir()} - {f"{k}{end}" for k in range(n) for end in ("", ".zip")}
    return lost + len(stray)


def sized(folder: Path, seed: int, n: int) -> int:
    """Images and masks of random sizes from 1 to 700, kinds and depths: read as they were written."""
    rng, lost = np.random.default_rng(seed), 0
    for k in range(n):
        shape = tuple(int(side) for side in np.exp(rng.uniform(0, np.log(700), 2)).round())
        deep, ending = bool(rng.integers(2)), str(rng.choice(["png", "tif", "bmp", "webp"]))
        deep = deep and ending in ("png", "tif")
        values = rng.integers(0, 65536 if deep else 256, shape, np.uint16 if deep else np.uint8)
        path = folder / f"{k}.{ending}"
        Image.fromarray(values).save(path, **({"lossless": True} if ending == "webp" else {}))
        image = load_image(path, (32767.5, 65535) if deep else None)
        right = np.abs(image.astype(float) - values / (257 if deep else 1)).max() <= (0.51 if deep else 0)
        lost += not (right and image.shape == shape and (load_mask(path) == (values > 127)).all())
    return lost


KINDS: dict[str, Callable[[Path, int, int], int]] = {
    "bytes changed, added, removed": damaged,
    "cut after every tenth": cut,
    "zips with bytes changed": zipped,
    "sizes 1 to 700, kinds, depths": sized,
}


def _in_child(kind: str, folder: Path, seed: int, n: int, answers: multiprocessing.Queue) -> None:
    os.dup2(
        os.open(os.devnull, os.O_WRONLY), 2
    )  # libtiff and libjpeg tell there what they think of the files
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", RuntimeWarning)  # of NumPy: a number that is none
    for part in range(seed, seed + 20):
        inside = Path(tempfile.mkdtemp(dir=folder))
        start = time.perf_counter()
        try:
            lost, why = KINDS[kind](inside, part, n), ""
        except Exception as error:
            lost, why = 1, f"{type(error).__name__}: {error}"
        shutil.rmtree(inside)
        seconds = time.perf_counter() - start
        answers.put((part, lost, why, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def run(kind: str, n_cases: int, folder: Path, n_a_part: int = 2 * PAIRS_A_FOLDER) -> dict[str, object]:
    """Try one kind in processes of their own, and count what is lost."""
    context = multiprocessing.get_context("spawn")
    totals: Counter[str] = Counter()
    slowest = memory = 0.0
    seed = 0
    while totals["cases"] < n_cases:
        answers = context.Queue()
        child = context.Process(target=_in_child, args=(kind, folder, seed, n_a_part, answers))
        child.start()
        for part in range(seed, seed + 20):
            try:
                _, lost, why, seconds, mib = answers.get(timeout=SECONDS)
            except Exception:  # it is gone, or hangs
                totals.update(cases=n_a_part, lost=1)
                print(f"{kind}: part {part} of {n_a_part} ended with {child.exitcode}", flush=True)
                child.kill()
                seed = part + 1
                break
            totals.update(cases=n_a_part, lost=lost)
            slowest, memory = max(slowest, seconds / n_a_part), max(memory, mib)
            if lost:
                print(f"{kind}: part {part} of {n_a_part} lost {lost}: {why}", flush=True)
        else:
            seed += 20
        child.join()
    return {"kind": kind, **totals, "ms_a_case": 1000 * slowest, "peak_mib": memory}


def main() -> None:
    """Print a table for benchmarks/README.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cases", type=int, default=100_000, help="damaged files; of the other kinds a tenth"
    )
    parser.add_argument("--scratch", type=Path, help="folder for the files, best in memory")
    args = parser.parse_args()
    print("| Kind of fault | Cases | Lost | Slowest folder, ms a case | Largest process, MiB |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        for kind in KINDS:
            n_cases = args.cases if KINDS[kind] is damaged else args.cases // 10
            row = run(kind, n_cases, Path(folder))
            print(
                f"| {kind} | {row['cases']:,} | {row.get('lost', 0)} | {row['ms_a_case']:.1f} | "
                f"{row['peak_mib']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
