"""Split pairs by whole groups, so that images and stones come near to the shares that are wanted."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations

import numpy as np

from unet_helpers.engine.progress import progress_bar
from unet_helpers.pairs import Pair, load_mask

__all__ = ["folds_by_group", "split_by_group", "stone_strata"]

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
GROUPS_WEIGHT, STRATA_WEIGHT = 0.002, 0.25  # beside 1 for the images: they come first
N_STARTS, N_CANDIDATES, N_STEPS = 12, 128, 1000
AS_GOOD = 1e-4  # about half a per cent of the images in the test part
TOO_FEW, TOO_MANY = 0.7, 1.7  # of the images that a part should hold: beyond, a warning


def stone_strata(pairs: list[Pair], progress: bool = False) -> list[int]:
    """How much stone each mask holds, as labels whose shares `split_by_group` balances.

    Args:
        pairs: Pairs whose mask files are read.
        progress: Whether to show a bar.

    Returns:
        One number an image: 0 without a stone; 1, 2 and 3 for the lower half of the stone-bearing images by
        number of stone pixels, those up to nine in ten, and the tenth with the most.

    Raises:
        ValueError: If a mask cannot be read.
    """
    bar = progress_bar(pairs, desc="looking for stones", unit="mask", disable=not progress)
    n_pixels = np.array([np.count_nonzero(load_mask(pair.mask_path)) for pair in bar], int)
    if not n_pixels.any():
        return [0] * len(pairs)
    middle, high = np.quantile(n_pixels[n_pixels > 0], (0.5, 0.9))
    return [int(n > 0) + int(n > middle) + int(n > high) for n in n_pixels]


def split_by_group(
    pairs: list[Pair], seed: int = 0, strata: Sequence[Hashable] | None = None
) -> dict[str, list[Pair]]:
    """Split pairs by whole groups into training, validation and test: 70 / 10 / 20 % or near.

    The images come first, then the share of each stratum. Groups are ordered by a hash of seed and name, so
    the split depends neither on the order of the pairs nor on the version of a random number generator.

    Warns (UserWarning), with numbers, if the groups allow no split near to these shares, and if validation or
    test holds no stone.

    Args:
        pairs: Pairs of at least 3 groups.
        seed: Another seed gives another split, where the groups allow one that is as good.
        strata: One label an image, see `stone_strata`; 0 stands for an image without a stone. None balances
            the images alone.

    Returns:
        Dict with the keys "train", "val" and "test", each in the order of `pairs`; no group is in two of
        them, and none is empty.

    Raises:
        ValueError: If there are fewer than 3 groups, or not one label an image.
    """
    split = _split(pairs, SHARES, str(seed), strata)
    _warn_of_shares(split, len(pairs))
    _warn_of_stones(pairs, strata, split)
    return split


def folds_by_group(
    pairs: list[Pair], n_folds: int, seed: int = 0, strata: Sequence[Hashable] | None = None
) -> list[dict[str, list[Pair]]]:
    """Split pairs for cross-validation: every group is in the test part of exactly one fold.

    An eighth of what a fold does not test on, again whole groups, is its validation part.

    Args:
        pairs: Pairs of at least `n_folds` groups.
        n_folds: Number of folds, at least 3.
        seed: Another seed gives other folds.
        strata: As in `split_by_group`.

    Returns:
        `n_folds` dicts with the keys "train", "val" and "test".

    Raises:
        ValueError: If `n_folds` is less than 3 or more than the groups, or there is not one label an image.
    """
    if n_folds < 3:
        raise ValueError(f"n_folds must be at least 3, got {n_folds}. For one split, leave it out.")
    tests = _split(pairs, {f"test {fold}": 1 / n_folds for fold in range(1, n_folds + 1)}, str(seed), strata)
    labels = dict(zip(pairs, strata, strict=True)) if strata is not None else None
    folds = []
    for name, test in tests.items():
        held_out = {pair.group for pair in test}
        rest = [pair for pair in pairs if pair.group not in held_out]
        inner = labels and [labels[pair] for pair in rest]
        folds.append(_split(rest, {"train": 7 / 8, "val": 1 / 8}, f"{seed}/{name}", inner) | {"test": test})
        _warn_of_stones(pairs, strata, folds[-1], f"Fold {len(folds)}: ")
    return folds


def _split(
    pairs: list[Pair], shares: dict[str, float], seed: str, strata: Sequence[Hashable] | None
) -> dict[str, list[Pair]]:
    """Parts of the pairs by whole groups; every part gets a stone if the groups that bear some suffice."""
    if strata is not None and len(strata) != len(pairs):
        raise ValueError(f"strata must hold one label an image, got {len(strata)} for {len(pairs)} images.")
    groups = sorted({pair.group for pair in pairs}, key=lambda group: _hash(f"{seed}/{group}"))
    if len(groups) < len(shares):
        raise ValueError(
            f"pairs must come from at least {len(shares)} groups (exams or patients), got "
            f"{len(groups)}. Name the exams in a groups.csv with the columns stem,group."
        )
    number = {group: i for i, group in enumerate(groups)}
    labels = list(strata) if strata is not None else [1] * len(pairs)
    column = {label: 2 + i for i, label in enumerate(sorted(set(labels), key=repr))}
    counts = np.zeros((len(groups), 2 + len(column)))
    counts[:, 0] = 1
    for pair, label in zip(pairs, labels, strict=True):
        counts[number[pair.group], (1, column[label])] += 1
    bears_stone = counts[:, [i for label, i in column.items() if label]].any(1)
    names = list(shares)
    chosen = _divide(counts, bears_stone, np.array(list(shares.values())))
    parts: dict[str, list[Pair]] = {name: [] for name in names}
    for pair in pairs:
        parts[names[chosen[number[pair.group]]]].append(pair)
    return parts


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _divide(counts: np.ndarray, bears_stone: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Part of each group: of several starts that are improved step by step, the first that is as good as any.

    Args:
        counts: Of each group (rows) 1, its images, and its images of each stratum.
        bears_stone: Of each group.
        shares: Of each part, of everything.

    Returns:
        Number of the part of each group.
    """
    totals = counts.sum(0)
    weights = np.concatenate([[GROUPS_WEIGHT, 1], STRATA_WEIGHT * totals[2:] / totals[1]])
    scaled = counts * np.sqrt(weights) / totals  # squared distances of these are the cost
    results = [
        _improved(_start(counts[:, 1], bears_stone, shares, first), scaled, bears_stone, shares)
        for first in range(max(1, min(len(counts), N_STARTS, 1000 // len(counts))))
    ]
    costs = [cost for cost, _ in results]
    return next(part for cost, part in results if cost <= min(costs) + AS_GOOD)


def _start(sizes: np.ndarray, bears_stone: np.ndarray, shares: np.ndarray, first: int) -> np.ndarray:
    """Cut the groups in order, beginning at `first`; each part has one group, with a stone if possible."""
    order = np.roll(np.arange(len(sizes)), -first)
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    part = np.empty(len(sizes), int)
    part[order] = np.searchsorted(np.cumsum(shares)[:-1] * sizes.sum(), middles)
    pinned = order[np.argsort(~bears_stone[order], kind="stable")][: len(shares)]
    part[pinned] = np.arange(len(shares))
    return part


def _improved(
    part: np.ndarray, scaled: np.ndarray, bears_stone: np.ndarray, shares: np.ndarray
) -> tuple[float, np.ndarray]:
    """Move or exchange groups between two parts, always the best such step, while the cost falls.

    The cost is the sum over parts and columns of (found - wanted)^2 / share.
    """
    wanted = shares[:, None] * scaled.sum(0)
    for _ in range(N_STEPS):
        off = np.array([scaled[part == p].sum(0) for p in range(len(shares))]) - wanted
        steps = [
            _best_exchange(a, b, part, scaled, bears_stone, off, shares)
            for a, b in combinations(range(len(shares)), 2)
        ]
        gain, moves = min(steps, key=lambda step: step[0])
        if gain > -1e-9:
            break
        for group, to in moves:
            part[group] = to
    return float((off**2 / shares[:, None]).sum()), part


def _best_exchange(
    a: int,
    b: int,
    part: np.ndarray,
    scaled: np.ndarray,
    bears_stone: np.ndarray,
    off: np.ndarray,
    shares: np.ndarray,
) -> tuple[float, list[tuple[int, int]]]:
    """Change of the cost, and the moves, of the best exchange of a group (or none) of a for one of b."""
    here, there = (np.flatnonzero(part == p) for p in (a, b))
    n_stones = [int(bears_stone[groups].sum()) for groups in (here, there)]
    n_groups = [len(here), len(there)]
    here, there = here[:N_CANDIDATES], there[:N_CANDIDATES]
    gives, takes = (np.vstack([scaled[groups], np.zeros(scaled.shape[1])]) for groups in (here, there))
    slope = 2 * (off[b] / shares[b] - off[a] / shares[a])
    squares = (gives**2).sum(1)[:, None] + (takes**2).sum(1) - 2 * gives @ takes.T
    change = squares * (1 / shares[a] + 1 / shares[b]) + (gives @ slope)[:, None] - takes @ slope
    # no part may lose its last group, nor its last group with a stone
    for has, counts in ((np.ones_like(bears_stone), n_groups), (bears_stone, n_stones)):
        moved = np.append(has[here], False)[:, None].astype(int) - np.append(has[there], False)
        change[(counts[0] - moved < min(1, counts[0])) | (counts[1] + moved < min(1, counts[1]))] = np.inf
    # rounded, so that equal steps are equal on every machine
    row, column = np.unravel_index(np.argmin(np.round(change, 12)), change.shape)
    moves = [(int(here[row]), b)] if row < len(here) else []
    moves += [(int(there[column]), a)] if column < len(there) else []
    return float(np.round(change[row, column], 12)), moves


def _warn_of_shares(split: dict[str, list[Pair]], n_images: int) -> None:
    wanted = {name: share * n_images for name, share in SHARES.items()}
    if all(TOO_FEW <= len(split[name]) / wanted[name] <= TOO_MANY for name in SHARES):
        return
    sizes = Counter(pair.group for part in split.values() for pair in part)
    largest, n_largest = min(sizes.items(), key=lambda item: (-item[1], item[0]))
    found = ", ".join(f"{name} {len(p)} ({100 * len(p) / n_images:.0f} %)" for name, p in split.items())
    warnings.warn(
        f"the split holds {found} of {n_images} images instead of "
        + ", ".join(f"{name} {n:.0f} ({100 * SHARES[name]:.0f} %)" for name, n in wanted.items())
        + f": no group may be torn apart, there are {len(sizes)}, and the largest, {largest}, holds "
        f"{n_largest} images. Add patients, or use --folds.",
        stacklevel=3,
    )


def _warn_of_stones(
    pairs: list[Pair], strata: Sequence[Hashable] | None, split: dict[str, list[Pair]], where: str = ""
) -> None:
    if strata is None:
        return
    bearing = {pair.group for pair, label in zip(pairs, strata, strict=True) if label}
    without = [name for name, part in split.items() if not any(pair.group in bearing for pair in part)]
    if without and bearing:  # without any stone at all, training says what is wrong
        warnings.warn(
            f"{where}no image with a stone in {' and '.join(without)}: only {len(bearing)} of "
            f"{len({pair.group for pair in pairs})} groups bear one.",
            stacklevel=3,
        )
