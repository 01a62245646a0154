"""What a network has seen, known by content: a name may change, or mean another patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unet_helpers.data import Pair, image_hashes

__all__ = ["fold_parts", "parts_seen", "unseen_pairs"]

Parts = dict[str, list[Pair]]


def parts_seen(
    pairs: list[Pair],
    images: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str]],
    progress: bool = False,
) -> tuple[Parts, str]:
    """Sort pairs by what a network has seen of them in training.

    An image was seen if the same grey values were, under whatever name.

    Args:
        pairs: Pairs whose image files are read.
        images: `Checkpoint.images`: hashes of the images of "train" and "val". If it holds none (a checkpoint
            of an older version), the names of the groups decide.
        groups: `Checkpoint.split`: names of the groups of "train" and "val".
        progress: Whether to show a bar.

    Returns:
        Dict with the keys "train" (trained on), "val" (chose the best weights), "beside" (not seen, but in a
        group with one that was) and "test" (the others), and what was found, in one sentence.

    Raises:
        ValueError: If an image cannot be read.
    """
    if any(images.values()):
        parts = _by_content(pairs, image_hashes(pairs, progress), images)
        return parts, _sentence(parts) + _namesakes(parts["test"], groups)
    names = {name: set(groups.get(name, ())) for name in ("train", "val")}
    parts = {name: [pair for pair in pairs if pair.group in names[name]] for name in names}
    seen = names["train"] | names["val"]
    parts |= {"beside": [], "test": [pair for pair in pairs if pair.group not in seen]}
    return parts, (
        _sentence(parts) + " This checkpoint is of an older version and knows its groups by name "
        "only: if groups were renamed since, this is wrong."
    )


def unseen_pairs(
    pairs: list[Pair],
    images: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str]],
    progress: bool = False,
) -> tuple[list[Pair], str]:
    """The pairs that a network may be tested on: never seen, and in no group with one that was.

    Args:
        pairs, images, groups, progress: As in `parts_seen`.

    Returns:
        The pairs, and what was found, in one sentence.

    Raises:
        ValueError: If none is left, or an image cannot be read.
    """
    parts, sentence = parts_seen(pairs, images, groups, progress)
    if not parts["test"]:
        raise ValueError(f"pairs must hold images that the network has not seen, got {sentence}")
    return parts["test"], sentence


def fold_parts(
    pairs: list[Pair], images: Sequence[Mapping[str, Sequence[str]]], progress: bool = False
) -> tuple[list[Parts], str]:
    """Find for each network of a cross-validation the images that it alone has not seen.

    Args:
        pairs: Pairs whose image files are read.
        images: `Checkpoint.images` of each network.
        progress: Whether to show a bar.

    Returns:
        One dict a network as in `parts_seen`, "test" holding what no other network may be tested on, and what
        was found, in one sentence.

    Raises:
        ValueError: If an image cannot be read, or none is left.
    """
    hashes = image_hashes(pairs, progress)
    folds = [_by_content(pairs, hashes, seen) for seen in images]
    n_tests = dict.fromkeys(pairs, 0)
    for pair in (pair for fold in folds for pair in fold["test"]):
        n_tests[pair] += 1
    folds = [fold | {"test": [pair for pair in fold["test"] if n_tests[pair] == 1]} for fold in folds]
    n_scored, n_seen = list(n_tests.values()).count(1), list(n_tests.values()).count(0)
    sentence = (
        f"{n_scored} of {len(pairs)} images are scored, each by the one network of {len(folds)} that "
        "has seen neither it nor its group"
    )
    if n_seen:
        sentence += f"; {n_seen} are left out, because every network has seen them or their group"
    if n_new := len(pairs) - n_scored - n_seen:
        sentence += f"; {n_new} are left out, because they belong to no fold"
    if not n_scored:
        raise ValueError(
            f"DATA must hold images of the cross-validation, got other ones: {sentence}. For "
            "other data, give one network: --checkpoint RUN/fold-1/best.pt."
        )
    return folds, sentence + "."


def _by_content(pairs: list[Pair], hashes: list[str], images: Mapping[str, Sequence[str]]) -> Parts:
    known = {key: name for name in ("val", "train") for key in images.get(name, ())}
    found = [known.get(key) for key in hashes]
    groups = {pair.group for pair, name in zip(pairs, found, strict=True) if name}
    parts: Parts = {"train": [], "val": [], "beside": [], "test": []}
    for pair, name in zip(pairs, found, strict=True):
        parts[name or ("beside" if pair.group in groups else "test")].append(pair)
    return parts


def _sentence(parts: Parts) -> str:
    n = {name: len(part) for name, part in parts.items()}
    n_images = sum(n.values())
    if n["test"] == n_images:
        return f"None of these images was seen in training: all {n_images} can test the network."
    others = "1 other shares" if n["beside"] == 1 else f"{n['beside']} others share"
    beside = f"{others} a group with them; " if n["beside"] else ""
    return (
        f"{n_images} images, of which {n['train']} were trained on and {n['val']} chose the best "
        f"weights; {beside}{n['test'] or 'none'} {'is' if n['test'] < 2 else 'are'} left to test on."
    )


def _namesakes(pairs: list[Pair], groups: Mapping[str, Sequence[str]]) -> str:
    """A doubt that content cannot settle: other images of a group that is called like one trained on."""
    seen = {group for names in groups.values() for group in names}
    names = sorted({pair.group for pair in pairs} & seen)
    if not names:
        return ""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return (
        f" But {len(names)} of their groups are called like groups seen in training ({shown}): if they "
        "are the same patients, this is no test."
    )
