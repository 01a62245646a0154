"""Compare a phantom data set with a real one in numbers: python benchmarks/phantom_vs_real.py PHANTOM REAL

Both are flat folders of `<stem>.jpg` and `<stem>_mask.png`; images without a mask are left out.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.stats import wasserstein_distance

PATCH_PX = 16
SOFT_TISSUE = (95, 140)  # grey levels of liver, spleen and muscle in the soft-tissue window


@dataclass
class Measured:
    """What is measured of one folder; histograms (n, 256), one row an image."""

    stone_histograms: NDArray[np.int64]
    other_histograms: NDArray[np.int64]
    foreground: NDArray[np.float64]  # share of the pixels, per image
    diameters_px: NDArray[np.float64]  # per 8-connected stone: of the circle of equal area
    noise: NDArray[np.float64]  # (n, 3): standard deviation, correlation with the pixel beside and below

    @property
    def histograms(self) -> NDArray[np.int64]:
        return self.stone_histograms + self.other_histograms


def even_patches(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The tenth of the soft-tissue patches (n, 16, 16) that vary least, planes removed: noise is left."""
    n_rows, n_columns = (side // PATCH_PX for side in image.shape)
    cut = image[: n_rows * PATCH_PX, : n_columns * PATCH_PX].astype(float)
    patches = cut.reshape(n_rows, PATCH_PX, n_columns, PATCH_PX).swapaxes(1, 2)
    patches = patches.reshape(-1, PATCH_PX, PATCH_PX)
    mean = patches.mean((1, 2))
    patches = patches[(mean > SOFT_TISSUE[0]) & (mean < SOFT_TISSUE[1])]
    ramp = np.arange(PATCH_PX) - (PATCH_PX - 1) / 2
    patches = patches - patches.mean((1, 2), keepdims=True)
    for slope in (ramp[None, :, None], ramp[None, None, :]):
        patches = patches - slope * (patches * slope).mean((1, 2), keepdims=True) / (ramp**2).mean()
    order = np.argsort(patches.std((1, 2)))
    return patches[order[: max(1, len(order) // 10)]]


def noise_of(image: NDArray[np.uint8]) -> list[float]:
    """Standard deviation in grey levels, correlation of neighbours along a row and along a column."""
    patches = even_patches(image)
    power = (patches**2).mean()
    if not len(patches) or power == 0:
        return [np.nan] * 3
    beside, below = (patches[..., 1:] * patches[..., :-1]).mean(), (patches[:, 1:] * patches[:, :-1]).mean()
    return [float(np.sqrt(power)), float(beside / power), float(below / power)]


def measure(folder: Path) -> Measured:
    """Read every image with a mask in a folder."""
    stone, other, foreground, diameters, noise = [], [], [], [], []
    paths = sorted(folder.glob("*_mask.png"))
    if not paths:
        raise FileNotFoundError(f"folder must hold <stem>_mask.png files, got {folder}.")
    for path in paths:
        image = np.asarray(Image.open(path.with_name(path.name.replace("_mask.png", ".jpg"))).convert("L"))
        mask = np.asarray(Image.open(path).convert("L")) > 127
        stone.append(np.bincount(image[mask], minlength=256))
        other.append(np.bincount(image[~mask], minlength=256))
        foreground.append(mask.mean())
        labels, _ = ndimage.label(mask, np.ones((3, 3)))
        diameters += (2 * np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)).tolist()
        noise.append(noise_of(image))
    return Measured(*(np.array(values) for values in (stone, other, foreground, diameters, noise)))


def best_threshold(data: Measured, lowest: int = 128) -> tuple[int, float]:
    """The one grey level that gives the best pooled Dice, and that Dice."""
    stone, other = data.stone_histograms.sum(0), data.other_histograms.sum(0)
    hits, alarms = stone[::-1].cumsum()[::-1], other[::-1].cumsum()[::-1]
    dice = 2 * hits / (hits + alarms + stone.sum())
    level = lowest + int(dice[lowest:].argmax())
    return level, float(dice[level])


def grey_distance(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Earth mover's distance in grey levels between the pooled histograms of two sets of images."""
    levels = np.arange(256)
    return float(wasserstein_distance(levels, levels, a.sum(0), b.sum(0)))


def spread(values: NDArray[np.float64], digits: int) -> str:
    """Median and quartiles."""
    low, middle, high = np.nanpercentile(values, [25, 50, 75])
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def column(data: Measured) -> list[str]:
    level, dice = best_threshold(data)
    grey = data.histograms.sum(0)
    return [
        f"{len(data.foreground)}",
        f"{100 * (data.foreground > 0).mean():.0f} %",
        spread(100 * data.foreground[data.foreground > 0], 3),
        spread(data.diameters_px, 1),
        f"{100 * grey[250:].sum() / grey.sum():.2f} %",
        f"{100 * grey[:8].sum() / grey.sum():.0f} %",
        *(spread(data.noise[:, i], digits) for i, digits in enumerate((1, 2, 2))),
        f"{dice:.3f} (at {level})",
    ]


def table(phantom: Measured, real: Measured) -> str:
    """Markdown table; the yardstick of the grey-level distance is one half of the real set to the other."""
    names = [
        "images with a mask",
        "of them with a stone",
        "foreground share of those, %, median (quartiles)",
        "stone diameter, px, median (quartiles)",
        "pixels >= 250",
        "pixels < 8",
        "noise in even soft tissue, grey levels",
        "its correlation, pixel beside",
        "its correlation, pixel below",
        "best global threshold: pooled Dice",
    ]
    lines = ["| | phantom | real |", "|---|---|---|"]
    lines += [f"| {n} | {a} | {b} |" for n, a, b in zip(names, column(phantom), column(real), strict=True)]
    half = len(real.histograms) // 2  # files sort by time, so that the halves share at most one exam
    halves = grey_distance(real.histograms[:half], real.histograms[half:])
    distance = grey_distance(phantom.histograms, real.histograms)
    lines.append(f"| earth mover's distance of greys to real | {distance:.1f} | {halves:.1f} (its halves) |")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(table(*(measure(Path(folder)) for folder in sys.argv[1:])))
