"""What files hold changes what is found: unreadable ones go, and twins bring groups together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from unet_helpers.data import Pair, image_hash, load_image
from unet_helpers.engine.progress import progress_bar
from unet_helpers.folders.audit import MaskAudit
from unet_helpers.folders.scan import FolderScan, counted, some

__all__ = ["with_contents"]

LONG = 2000  # from so many images on a bar shows that something happens


def with_contents(
    scan: FolderScan, audit: MaskAudit, progress: bool | None = None
) -> tuple[FolderScan, list[str]]:
    """Put what the files hold into a scan.

    Args:
        scan: What `scan_folder` found.
        audit: What the values of its masks mean.
        progress: Whether to show a bar; None for many images only.

    Returns:
        The scan: pairs have their code, those with a file that cannot be read are among the leftovers, and
        groups that share an image are one. And what was found out, a sentence each.
    """
    keys, broken = _fingerprints(scan.pairs, len(scan.pairs) > LONG if progress is None else progress)
    unreadable = {**scan.unreadable, **audit.unreadable, **broken}
    pairs, images, masks = [], list(scan.images_without_mask), list(scan.masks_without_image)
    for pair in scan.pairs:
        of_pair = (pair.mask_path, *pair.more_masks)
        if not any(path in unreadable for path in (pair.image_path, *of_pair)):
            pairs.append(replace(pair, code=audit.codes.get(pair.mask_path), classes=audit.classes))
            continue
        images += [pair.image_path] if pair.image_path not in unreadable else []
        masks += [path for path in of_pair if path not in unreadable]
    pairs, twins = _joined(pairs, keys)
    usual = len(audit.sentences) == 1 and audit.n_objects and not any(pair.code for pair in pairs)
    told = [] if usual else [*audit.sentences]
    if twins:
        found = counted(len(twins), "image is", "images are")
        told.append(
            f"{found} in two groups under two names, so these groups are joined, lest a network be tested on "
            f"what it was trained on: {some(twins)}."
        )
    return replace(
        scan,
        pairs=pairs,
        images_without_mask=sorted(images),
        masks_without_image=sorted(masks),
        unreadable=unreadable,
    ), told


def _fingerprints(pairs: Sequence[Pair], progress: bool) -> tuple[dict[Path, str], dict[Path, str]]:
    """What each image shows, as a hash, "" for one grey all over; and why some cannot be read."""
    keys: dict[Path, str] = {}
    broken: dict[Path, str] = {}
    for pair in progress_bar(pairs, desc="recognising images", unit="image", disable=not progress):
        path = pair.image_path
        try:
            image = load_image(path)
            keys[path] = image_hash(image) if image.size and image.min() < image.max() else ""
        except ValueError as error:
            if "must be a readable image" in str(error):
                broken[path] = str(error)
            else:  # more than 8 bits, say: whoever loads it says what it needs
                keys[path] = sha256(path.read_bytes()).hexdigest()
    return keys, broken


def _joined(pairs: Sequence[Pair], keys: Mapping[Path, str]) -> tuple[list[Pair], list[str]]:
    """Pairs whose groups are joined where they share an image, and which images these are."""
    first: dict[str, Pair] = {}
    parent: dict[str, str] = {}

    def root(group: str) -> str:
        while group in parent:
            group = parent[group]
        return group

    twins = []
    for pair in pairs:
        key = keys.get(pair.image_path)
        if not key:
            continue
        other = first.setdefault(key, pair)
        if other.group != pair.group:
            twins.append(f"{pair.image_path.name} = {other.image_path.name}")
        if (a := root(other.group)) != (b := root(pair.group)):
            parent[b] = a
    return [replace(pair, group=root(pair.group)) for pair in pairs], twins
