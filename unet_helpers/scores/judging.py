"""Which network lesson 5 judges, and its answers on one part of a data set, beside the truth."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unet_helpers import data
from unet_helpers.checkpoint import Checkpoint, load_checkpoint, store_threshold
from unet_helpers.data import Pair
from unet_helpers.engine.progress import passing_bars
from unet_helpers.engine.scale import Scale
from unet_helpers.evaluation import choose_threshold, evaluate
from unet_helpers.folders.places import platform_name
from unet_helpers.inference import predict_all
from unet_helpers.metrics import predicted_mask
from unet_helpers.pretrained import load_pretrained
from unet_helpers.training import run_status

__all__ = ["Candidate", "Judged", "borrowed", "choose_network", "judge", "keep_scores", "may_judge"]

Split = dict[str, list[Pair]]


@dataclass(frozen=True, kw_only=True)
class Candidate(Checkpoint):
    """A network that is to be judged.

    Attributes:
        shown_at: The scale at which it is shown images.
        own: Whether it was trained on this data by lesson 4; else it is the one that comes with the package.
        whole: Whether its training was the lessons' own, to the end; see `exercises.contract`.
        folder: Where everything that is found out about it is written.
    """

    shown_at: Scale
    own: bool
    whole: bool
    folder: Path


def borrowed(folder: Path) -> Candidate:
    """The network that comes with the package, with its own threshold; results on it go into `folder`."""
    ready = load_pretrained()
    values = {field.name: getattr(ready, field.name) for field in fields(Checkpoint)}
    return Candidate(**values, shown_at=ready.scale, own=False, whole=True, folder=folder)


def choose_network(run_dir: Path, go_on: Callable[[], Any]) -> Candidate:
    """The network of a finished run; an unfinished one is gone on with; without one, the package's own.

    A network that saw a part of its training only is never judged. What is judged is said in a sentence.

    Args:
        run_dir: Folder of lesson 4's run on this data, ".../runs/lesson/<data set>".
        go_on: Called without arguments where the run is unfinished, or a rehearsal of `$UNET_STEPS` steps;
            goes on with the settings of `RunStatus.lesson_config`, and may be stopped again.

    Raises:
        ValueError: If the saved run is damaged; the message says what can be done.
    """
    status = run_status(run_dir)
    if status.config is not None and not status.complete:
        print(f"Lesson 4's training on this data is {status}. It goes on now.")
        with suppress(KeyboardInterrupt):  # what was done is saved
            go_on()
        status = run_status(run_dir)
    if status.complete:
        saved = load_checkpoint(run_dir / "best.pt")
        values = {field.name: getattr(saved, field.name) for field in fields(Checkpoint)}
        print(f"We judge lesson 4's network: its training on this data is {status}.")
        return Candidate(**values, shown_at=saved.scale, own=True, whole=status.whole, folder=run_dir)
    if status.config is None:
        print(f"Lesson 4 has trained no network on this data yet.{_on_drive()}")
    else:
        print(f"The training is {status}. All is saved: run this cell again to go on.")
    print("We judge the network that comes with the package instead, at its own threshold.")
    return borrowed(run_dir.parents[1] / "pretrained" / run_dir.name)


def _on_drive() -> str:
    """Where a run may lie that is not found: in Colab, a session that ended has left nothing here."""
    if platform_name() != "colab" or os.environ.get("UNET_HOME"):
        return ""
    return ' (Is its run on your Drive? Take the "# " away in the Drive cell at the top, and run from there.)'


def may_judge(network: Candidate, pairs: list[Pair], split: Split) -> tuple[Split, str]:
    """A split without what the network has seen: known by the pictures themselves, not by their names.

    Args:
        network: Whose fingerprints of pictures are compared.
        pairs: All pairs of the data set.
        split: Its parts "train", "val" and "test", by name.

    Returns:
        Parts "train", "val" and "test", and what was found, in a sentence. Where the network is lesson 4's,
        the parts are those of its own training; else the split, less what the network has seen.

    Raises:
        ValueError: If nothing is left to test on.
    """
    seen, sentence = data.parts_seen(pairs, network.images, network.split)
    unseen = set(seen["test"])
    if network.own:
        parts = {name: seen[name] for name in ("train", "val", "test")}
    else:
        parts = {**split, **{name: [one for one in split[name] if one in unseen] for name in ("val", "test")}}
    if not parts["test"]:
        raise ValueError(f"the data must hold patients whom the network has not seen, got none. {sentence}")
    return parts, sentence


# --------------------------------------------------------------------------------- answers and their scores
@dataclass(frozen=True)
class Judged:
    """A network's answers on some pairs, and what they are worth.

    Attributes:
        pairs: The pairs, in the order of all lists.
        images: Uint8 arrays (H, W), at the size of the files.
        masks: Bool arrays of the same shapes, the truth.
        probabilities: Float arrays of the same shapes.
        threshold, min_pixels: From which probability on a pixel is stone, and the smallest region.
        scores: What `evaluation.evaluate` returned.
    """

    pairs: Sequence[Pair]
    images: Sequence[NDArray[np.uint8]]
    masks: Sequence[NDArray[np.bool_]]
    probabilities: Sequence[NDArray[Any]]
    threshold: float
    min_pixels: int
    scores: dict[str, Any]

    def with_threshold(self, threshold: float) -> Judged:
        """The same with another threshold, for `judge(..., like=...)`; its scores stay those of before."""
        return replace(self, threshold=threshold)

    @property
    def patients(self) -> list[str]:
        """Who is seen in each image."""
        return [pair.group for pair in self.pairs]

    @cached_property
    def predictions(self) -> list[NDArray[np.bool_]]:
        """Bool arrays (H, W), one an image."""
        return [predicted_mask(one, self.threshold, self.min_pixels) for one in self.probabilities]

    @property
    def dice_of(self) -> dict[str, NDArray[np.float64]]:
        """Dice of the slices with a stone of each patient who has one, worst patient first."""
        found: dict[str, list[float]] = {}
        for patient, image in zip(self.patients, self.scores["per_image"], strict=True):
            if image["n_sections"]:
                found.setdefault(patient, []).append(image["dice"])
        return {name: np.array(found[name]) for name in sorted(found, key=lambda one: np.mean(found[one]))}


def judge(network: Candidate, pairs: Sequence[Pair], like: Judged | None = None) -> Judged:
    """Let a network answer on some pairs, and score the answers.

    Args:
        network: Lesson 4's or the package's.
        pairs: For example the validation part.
        like: Answers whose threshold and smallest region are taken. Without them, these pairs choose both for
            lesson 4's network (so they must be validation pairs); the package's network keeps its own.
    """
    with passing_bars():
        images, masks = data.load_arrays(pairs)  # at the size of the files: sizes in mm need it
        probabilities = predict_all(network.model, images, **network.shown_at.options(pairs))
    threshold, min_pixels = network.threshold, network.min_pixels
    if like is not None:
        threshold, min_pixels = like.threshold, like.min_pixels
    elif network.own and any(mask.any() for mask in masks):
        threshold, min_pixels = choose_threshold(probabilities, masks)
        store_threshold(network.folder / "best.pt", threshold, min_pixels)  # travels with the weights
    elif network.own:
        print(f"No slice here holds a stone, so nothing was chosen: the threshold stays {threshold:g}.")
    scores = evaluate(
        probabilities, masks, threshold, min_pixels, groups=[pair.group for pair in pairs],
        spacing_mm=data.spacings(pairs), stones=data.known_stones(pairs),
    )  # fmt: skip
    return Judged(pairs, images, masks, probabilities, threshold, min_pixels, scores)


def keep_scores(
    folder: Path, judged: Judged, rivals: dict[str, dict[str, float]] | None = None
) -> list[Path]:
    """Write what a network is worth into the folder of its run, so that no other data set overwrites it.

    Args:
        folder: `Candidate.folder`.
        judged: Answers on the test part.
        rivals: By name, what `evaluation.score_masks` returned for other predictions of the same images.

    Returns:
        The files: `scores.json` with the single numbers, `evaluation.json` with all, and `report.html`.
    """
    from unet_helpers.engine.files import write_json
    from unet_helpers.report.page import write_report

    scores, paths = judged.scores, [folder / f for f in ("scores.json", "evaluation.json", "report.html")]
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: value for name, value in scores.items() if not isinstance(value, dict | list)}
    low, high = scores["intervals"]["dice_positive_mean"]
    plain |= {"dice_positive_mean_low": low, "dice_positive_mean_high": high}
    for name, rival in (rivals or {}).items():
        plain[f"{name.replace(' ', '_')}_dice_positive_mean"] = rival["dice_positive_mean"]
    write_json(paths[0], plain)
    write_json(paths[1], scores)
    names = [f"{patient}, slice {i + 1}" for i, patient in enumerate(judged.patients)]
    write_report(
        paths[2], scores, list(judged.images), targets=list(judged.masks),
        probabilities=list(judged.probabilities), names=names, rivals=rivals,
    )  # fmt: skip
    return paths
