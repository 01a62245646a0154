"""What a network has seen: by content, whatever images, folders and groups are called."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet_helpers.data import Pair, image_hash, load_image, parts_seen
from unet_helpers.folders.seen import fold_parts, unseen_pairs

GROUPS = {"train": ["p0", "p1"], "val": ["p2"]}


def write(folder: Path, names: str, offset: int = 0, suffix: str = ".png") -> dict[str, Pair]:
    """An image for each letter; the letter makes its content."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = {}
    for name in names:
        image = np.random.default_rng(ord(name) + offset).integers(0, 255, (16, 16), np.uint8)
        Image.fromarray(image).save(folder / (name + suffix))
        pairs[name] = Pair(folder / (name + suffix), folder / f"{name}_mask.png", name)
    return pairs


def hashes(pairs: dict[str, Pair], **parts: str) -> dict[str, list[str]]:
    return {
        part: [image_hash(load_image(pairs[name].image_path)) for name in letters]
        for part, letters in parts.items()
    }


def names(parts: dict[str, list[Pair]]) -> dict[str, str]:
    return {part: "".join(pair.image_path.stem[0] for pair in pairs) for part, pairs in parts.items()}


def regrouped(pairs: dict[str, Pair], **groups: str) -> list[Pair]:
    of = {name: group for group, members in groups.items() for name in members}
    return [Pair(pair.image_path, pair.mask_path, of[name]) for name, pair in pairs.items()]


def test_groups_that_came_later_are_heeded(tmp_path: Path):
    pairs = write(tmp_path, "abcdefgh")
    seen = hashes(pairs, train="abcd", val="e")
    parts, found = parts_seen(list(pairs.values()), seen, {})
    assert names(parts) == {"train": "abcd", "val": "e", "beside": "", "test": "fgh"}
    assert found == (
        "8 images, of which 4 were trained on and 1 chose the best weights; 3 are left to test on."
    )
    parts, found = parts_seen(regrouped(pairs, x="ab", y="cf", z="eg", w="dh"), seen, {})
    assert names(parts) == {"train": "abcd", "val": "e", "beside": "fgh", "test": ""}
    assert found == (
        "8 images, of which 4 were trained on and 1 chose the best weights; "
        "3 others share a group with them; none is left to test on."
    )
    with pytest.raises(ValueError, match="must hold images that the network has not seen, got 8 images"):
        unseen_pairs(regrouped(pairs, x="ab", y="cf", z="eg", w="dh"), seen, {})


def test_a_renamed_folder_changes_nothing(tmp_path: Path):
    seen = hashes(write(tmp_path / "a", "abcdef"), train="abc", val="d")
    pairs, found = unseen_pairs(list(write(tmp_path / "b", "abcdef", suffix=".bmp").values()), seen, GROUPS)
    assert [pair.image_path.stem for pair in pairs] == ["e", "f"] and "2 are left to test on" in found


def test_a_foreign_set_is_new_whatever_its_groups_are_called(tmp_path: Path):
    seen = hashes(write(tmp_path / "mine", "abcd"), train="abc", val="d")
    foreign = write(tmp_path / "foreign", "abcdef", offset=1000)
    parts, found = parts_seen(list(foreign.values()), seen, GROUPS)
    assert names(parts)["test"] == "abcdef"
    assert found == "None of these images was seen in training: all 6 can test the network."
    parts, found = parts_seen(regrouped(foreign, p0="a", p1="b", p2="c", p3="def"), seen, GROUPS)
    assert names(parts)["test"] == "abcdef"
    assert found.endswith(
        "But 3 of their groups are called like groups seen in training (p0, p1, p2): if "
        "they are the same patients, this is no test."
    )


def test_a_copy_of_a_training_image_is_seen_and_so_is_its_group(tmp_path: Path):
    pairs = write(tmp_path, "abcdefg")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes())
    Image.fromarray(load_image(tmp_path / "b.png")).convert("RGB").save(tmp_path / "d.png", compress_level=1)
    assert (tmp_path / "d.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    parts, _ = parts_seen(
        regrouped(pairs, x="a", y="b", z="ce", w="d", v="f", u="g"), hashes(pairs, train="ab", val="f"), {}
    )
    assert names(parts) == {"train": "abcd", "val": "f", "beside": "e", "test": "g"}


@pytest.mark.parametrize("images", [{}, {"train": [], "val": []}])
def test_an_old_checkpoint_knows_names_only_and_says_so(tmp_path: Path, images: dict[str, list[str]]):
    pairs = write(tmp_path, "abcdef")
    parts, found = parts_seen(regrouped(pairs, p0="a", p1="bc", p2="d", p3="ef"), images, GROUPS)
    assert names(parts) == {"train": "abc", "val": "d", "beside": "", "test": "ef"}
    assert "of an older version and knows its groups by name only" in found


def test_folds_score_what_one_network_alone_has_not_seen(tmp_path: Path):
    pairs = write(tmp_path, "abcdefgh")
    networks = [hashes(pairs, train=seen[:-1], val=seen[-1]) for seen in ("cdef", "abef", "abcd")]
    folds, found = fold_parts([pairs[name] for name in "abcdef"], networks)
    assert [names(fold)["test"] for fold in folds] == ["ab", "cd", "ef"]
    assert [names(fold)["train"] for fold in folds] == ["cde", "abe", "abc"]
    assert found == (
        "6 of 6 images are scored, each by the one network of 3 that has seen neither it nor its group."
    )
    folds, found = fold_parts(regrouped(pairs, x="ac", b="b", d="d", e="e", f="f", g="g", h="h"), networks)
    assert [names(fold)["test"] for fold in folds] == ["b", "d", "ef"]  # a and c are one patient after all
    assert "4 of 8 images" in found
    assert "2 are left out, because every network has seen them or their group" in found
    assert "2 are left out, because they belong to no fold" in found
    with pytest.raises(ValueError, match="must hold images of the cross-validation, got other ones: 0 of 2"):
        fold_parts([pairs["g"], pairs["h"]], networks)
