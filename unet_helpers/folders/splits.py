"""Divide pairs by whole groups, so that images and stones come near to the shares that are wanted."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unet_helpers.data import Pair
from unet_helpers.engine.calm import CalmError
from unet_helpers.folders.naming import given_part

__all__ = ["divide", "folds_by_group", "given_split", "warn_of_shares", "warn_of_stones"]

Parts = dict[str, list[Pair]]
Strata = Sequence[Hashable] | None

GROUPS_WEIGHT, STRATA_WEIGHT = 0.002, 0.25  # beside 1 for the images: they come first
N_STARTS, N_CANDIDATES, N_STEPS = 12, 128, 1000
AS_GOOD = 1e-4  # about half a per cent of the images in the test part
TOO_FEW, TOO_MANY = 0.7, 1.7  # of the images that a part should hold: beyond, a warning


def folds_by_group(pairs: Sequence[Pair], n_folds: int, seed: int = 0, strata: Strata = None) -> list[Parts]:
    """Split pairs for cross-validation: every group is in the test part of exactly one fold.

    An eighth of what a fold does not test on, again whole groups, is its validation part.

    Args:
        pairs: Pairs of at least `n_folds` groups.
        n_folds: Number of folds, at least 3.
        seed: Another seed gives other folds.
        strata: As in `data.split_by_group`.

    Returns:
        `n_folds` dicts with the keys "train", "val" and "test".

    Raises:
        ValueError: If `n_folds` is less than 3 or more than the groups, or there is not one label an image.
    """
    if n_folds < 3:
        raise ValueError(f"n_folds must be at least 3, got {n_folds}. For one split, leave it out.")
    tests = divide(pairs, {f"test {fold}": 1 / n_folds for fold in range(1, n_folds + 1)}, str(seed), strata)
    labels = dict(zip(pairs, strata, strict=True)) if strata is not None else None
    folds = []
    for name, test in tests.items():
        held_out = {pair.group for pair in test}
        rest = [pair for pair in pairs if pair.group not in held_out]
        inner = [labels[pair] for pair in rest] if labels else None
        folds.append(divide(rest, {"train": 7 / 8, "val": 1 / 8}, f"{seed}/{name}", inner) | {"test": test})
        warn_of_stones(pairs, strata, folds[-1], f"Fold {len(folds)}: ")
    return folds


def given_split(pairs: Sequence[Pair], root: str | os.PathLike[str]) -> Parts:
    """Keep the split that folders name: train (or training), val (valid, validation, dev), test (testing).

    Warns (UserWarning), with numbers, if a group is in two parts: then the scores are too good.

    Args:
        pairs: Pairs of one data set.
        root: Its folder; of nested folders that name a part, the one nearest to it counts.

    Returns:
        Dict with the keys "train", "val" and "test", each in the order of `pairs`; "test" may be empty.

    Raises:
        ValueError: If an image is in no such folder, or there is none to train or to validate on.
    """
    parts: Parts = {name: [] for name in ("train", "val", "test")}
    outside: list[str] = []
    for pair in pairs:
        name = given_part(pair.image_path.relative_to(Path(root)).parts[:-1])
        if name:
            parts[name].append(pair)
        else:
            outside.append(pair.image_path.name)
    sizes = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
    if outside or not parts["train"] or not parts["val"]:
        others = f" and {len(outside)} outside of these ({', '.join(outside[:3])})" if outside else ""
        raise ValueError(
            f"{root} must hold all its images in folders called train, val and test to keep a given split, "
            f"got {sizes} images{others}. Without --given-split it is split by group."
        )
    of_group: dict[str, set[str]] = {}
    for name, part in parts.items():
        for pair in part:
            of_group.setdefault(pair.group, set()).add(name)
    torn = sorted(group for group, names in of_group.items() if len(names) > 1)
    if torn:
        n_images = sum(pair.group in set(torn) for pair in pairs)
        warnings.warn(
            f"the given split tears {len(torn)} of {len(of_group)} groups apart, with {n_images} of "
            f"{len(pairs)} images: {', '.join(torn[:3])}. Scores of its test part "
            "are too good; those of a split by group are not.",
            stacklevel=2,
        )
    return parts


def divide(pairs: Sequence[Pair], shares: Mapping[str, float], seed: str, strata: Strata) -> Parts:
    """Parts of the pairs by whole groups; every part gets a stone if the groups that bear some suffice.

    Args:
        pairs: Pairs of at least as many groups as parts.
        shares: Share of the images by name of the part; they sum to 1.
        seed: Decides, with the names of the groups, their order.
        strata: One label an image, falsy for one without a stone; None balances the images alone.

    Raises:
        ValueError: If there are too few groups, or not one label an image.
    """
    if strata is not None and len(strata) != len(pairs):
        raise ValueError(f"strata must hold one label an image, got {len(strata)} for {len(pairs)} images.")
    groups = sorted({pair.group for pair in pairs}, key=lambda group: _hash(f"{seed}/{group}"))
    if len(groups) < len(shares):
        raise CalmError(
            f"pairs must come from at least {len(shares)} groups (exams or patients), got "
            f"{len(groups)}. Name the exams in a groups.csv with the columns stem,group."
        )
    number = {group: i for i, group in enumerate(groups)}
    labels = list(strata) if strata is not None else [1] * len(pairs)
    column = {label: 2 + i for i, label in enumerate(sorted(set(labels), key=repr))}
    counts = np.zeros((len(groups), 2 + len(column)))  # of each group: 1, its images, those of each stratum
    counts[:, 0] = 1
    for pair, label in zip(pairs, labels, strict=True):
        counts[number[pair.group], (1, column[label])] += 1
    of_stones = np.array([i for label, i in column.items() if label], np.int64)
    bears_stone = np.asarray(counts[:, of_stones].any(1))
    chosen = _Search(counts, bears_stone, np.array(list(shares.values()))).best()
    parts: Parts = {name: [] for name in shares}
    names = list(shares)
    for pair in pairs:
        parts[names[chosen[number[pair.group]]]].append(pair)
    return parts


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class _Step(NamedTuple):
    """Change of the cost, and the new part of each group that moves."""

    change: float
    moves: list[tuple[int, int]]


class _Search:
    """Several starts that are improved step by step.

    The cost of a division is the sum over parts and columns of (found - wanted)^2 / share, of columns scaled
    so that the images weigh most.

    Args:
        counts: Of each group (G, C): 1, its images, and its images of each stratum.
        bears_stone: Of each group, bool (G,).
        shares: Of each part (P,), of everything.
    """

    def __init__(
        self, counts: NDArray[np.float64], bears_stone: NDArray[np.bool_], shares: NDArray[np.float64]
    ) -> None:
        totals = counts.sum(0)
        weights = np.concatenate([[GROUPS_WEIGHT, 1], STRATA_WEIGHT * totals[2:] / totals[1]])
        self.scaled = counts * np.sqrt(weights) / totals  # (G, C): squared distances of these are the cost
        self.wanted = shares[:, None] * self.scaled.sum(0)  # (P, C)
        self.sizes, self.bears_stone, self.shares = counts[:, 1], bears_stone, shares

    def best(self) -> NDArray[np.int64]:
        """Number of the part of each group (G,): of all starts the first that ends as well as any."""
        n_groups = len(self.sizes)
        starts = range(max(1, min(n_groups, N_STARTS, 1000 // n_groups)))
        results = [self._improve(self._start(first)) for first in starts]
        lowest = min(cost for cost, _ in results)
        return next(part for cost, part in results if cost <= lowest + AS_GOOD)

    def _start(self, first: int) -> NDArray[np.int64]:
        """Cut the groups in order, beginning at `first`; each part has one, with a stone if possible."""
        order = np.roll(np.arange(len(self.sizes)), -first)
        middles = np.cumsum(self.sizes[order]) - self.sizes[order] / 2
        part = np.empty(len(order), np.int64)
        part[order] = np.searchsorted(np.cumsum(self.shares)[:-1] * self.sizes.sum(), middles)
        pinned = order[np.argsort(~self.bears_stone[order], kind="stable")][: len(self.shares)]
        part[pinned] = np.arange(len(self.shares))
        return part

    def _improve(self, part: NDArray[np.int64]) -> tuple[float, NDArray[np.int64]]:
        """Move or exchange groups between two parts, always the best such step, while the cost falls."""
        n_parts = len(self.shares)
        for _ in range(N_STEPS):
            off = np.array([self.scaled[part == p].sum(0) for p in range(n_parts)]) - self.wanted
            steps = [self._best_step(part, off, a, b) for a, b in combinations(range(n_parts), 2)]
            best = min(steps, key=lambda step: step.change)
            if best.change > -1e-9:
                break
            for group, to in best.moves:
                part[group] = to
        return float((off**2 / self.shares[:, None]).sum()), part

    def _best_step(self, part: NDArray[np.int64], off: NDArray[np.float64], a: int, b: int) -> _Step:
        """The best exchange of a group (or none) of part a for one (or none) of part b."""
        here, there = np.flatnonzero(part == a), np.flatnonzero(part == b)
        n_here, n_there = (
            np.array([len(groups), self.bears_stone[groups].sum()]) for groups in (here, there)
        )
        here, there = here[:N_CANDIDATES], there[:N_CANDIDATES]
        nothing = np.zeros((1, self.scaled.shape[1]))
        gives, takes = (np.vstack([self.scaled[groups], nothing]) for groups in (here, there))
        slope = 2 * (off[b] / self.shares[b] - off[a] / self.shares[a])
        squares = (gives**2).sum(1)[:, None] + (takes**2).sum(1) - 2 * gives @ takes.T
        change = (
            squares * (1 / self.shares[a] + 1 / self.shares[b]) + (gives @ slope)[:, None] - takes @ slope
        )
        # no part may lose its last group, nor its last group with a stone
        for i, counts in enumerate((np.ones_like(self.bears_stone), self.bears_stone)):
            moved = np.append(counts[here], False)[:, None].astype(int) - np.append(counts[there], False)
            empties = (n_here[i] - moved < min(1, n_here[i])) | (n_there[i] + moved < min(1, n_there[i]))
            change[empties] = np.inf
        # rounded, so that equal steps are equal on every machine
        row, column = np.unravel_index(np.argmin(np.round(change, 12)), change.shape)
        moves = [(int(here[row]), b)] if row < len(here) else []
        moves += [(int(there[column]), a)] if column < len(there) else []
        return _Step(float(np.round(change[row, column], 12)), moves)


def warn_of_shares(split: Parts, shares: Mapping[str, float]) -> None:
    """Warn, two callers up, of parts that are far smaller or larger than they should be."""
    n_images = sum(map(len, split.values()))
    wanted = {name: share * n_images for name, share in shares.items()}
    if all(TOO_FEW <= len(split[name]) / wanted[name] <= TOO_MANY for name in shares):
        return
    sizes = Counter(pair.group for part in split.values() for pair in part)
    largest, n_largest = min(sizes.items(), key=lambda item: (-item[1], item[0]))
    found = ", ".join(f"{name} {len(p)} ({100 * len(p) / n_images:.0f} %)" for name, p in split.items())
    warnings.warn(
        f"the split holds {found} of {n_images} images instead of "
        + ", ".join(f"{name} {n:.0f} ({100 * shares[name]:.0f} %)" for name, n in wanted.items())
        + f": no group may be torn apart, there are {len(sizes)}, and the largest, {largest}, holds "
        f"{n_largest} images. Add patients, or use data.folds_by_group.",
        stacklevel=3,
    )


def warn_of_stones(pairs: Sequence[Pair], strata: Strata, split: Parts, where: str = "") -> None:
    """Warn, two callers up, of parts without any stone, though some groups bear one."""
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
