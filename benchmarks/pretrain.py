"""Makes and scores the weights that come with the package (unet_helpers/pretrained).

    python benchmarks/pretrain.py train --out DIR
    python benchmarks/pretrain.py score DIR/*.pt --real REAL --phantom-seed 2028 --patients 40
    python benchmarks/pretrain.py ship DIR/NAME.pt --variant last --threshold 0.5 --min-pixels 3

1. `train` writes 240 phantom patients (seed 7) and trains candidates on them, several at once: they share
   the engine of `fit` and differ in augmentation, number of patients, width, patches and seed. One file
   NAME.pt each holds its weights after the last step, and the mean of the weights of the last epochs.
   The last 40 patients choose threshold and smallest stone, with other greys as `Stronger` makes them.
2. `score` tells how good each is on fresh phantom patients and on REAL, a folder of real images and masks: a
   development set, because the candidate, its threshold and its smallest stone are chosen on it.
3. `ship` puts one in place.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from candidates import CANDIDATES, DEFAULTS, VALIDATION, Candidate
from stronger import Stronger

from unet_helpers import phantom
from unet_helpers.checkpoint import build_network, load_state, load_weights, save_state
from unet_helpers.data import Pair, find_pairs, image_hashes, load_arrays
from unet_helpers.engine.devices import choose_device
from unet_helpers.engine.files import write_json
from unet_helpers.evaluation import evaluate
from unet_helpers.inference import MAX_SIZE, predict_all
from unet_helpers.metrics import dice, match_stones, predicted_mask
from unet_helpers.model import UNet
from unet_helpers.pretrained import WEIGHTS
from unet_helpers.training import TrainConfig, fit
from unet_helpers.transforms import augment, normalise

PATIENTS, SEED = 240, 7
MOST_FALSE_ALARMS = 0.45  # an image
AVERAGED = 0.3  # share of a run, its end, whose epochs are averaged
REAL_SIZE = 280  # longest side of REAL's images for the network; 313 makes pixels as large as the phantom's
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
MIN_PIXELS = (0, 3, 4)
SHOWN = ("dice_positive_mean", "section_sensitivity", "false_positives_per_image")
LARGEST = 2 * 2**20  # bytes of a file of weights in float32; larger ones are kept in float16

Weights = dict[str, torch.Tensor]


# --------------------------------------------------------------------------------------------- train
def train(args: argparse.Namespace) -> None:
    """Write the phantom, then train the candidates, several processes at a time."""
    work = args.work or Path(tempfile.mkdtemp(prefix="pretrain-"))
    args.out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    if not (work / "phantom").exists():
        phantom.write_dataset(work / "phantom", n_patients=args.patients, seed=SEED, progress=False)
    print(f"phantom: {time.perf_counter() - started:.0f} s", flush=True)
    words = [sys.executable, __file__, "one", "--work", str(work), "--out", str(args.out)]
    words += ["--minutes", str(args.minutes), "--epoch", str(args.epoch)]
    words += ["--steps", str(args.steps)] if args.steps else []
    waiting, running, failed = args.candidates.split(","), list[subprocess.Popen[bytes]](), 0
    while waiting or running:
        for process in [process for process in running if process.poll() is not None]:
            running.remove(process)
            failed += process.returncode != 0
        while waiting and len(running) < args.parallel:
            running.append(subprocess.Popen([*words, waiting.pop(0)]))
        time.sleep(0.2)
    print(f"all: {time.perf_counter() - started:.0f} s, {failed} failed", flush=True)
    sys.exit(failed > 0)


def one(args: argparse.Namespace) -> None:
    """Train a candidate, and write OUT/NAME.pt."""
    candidate, device = CANDIDATES[args.name], choose_device()
    torch.set_num_threads(max(1, torch.get_num_threads() // 8))  # there are others
    torch.manual_seed(candidate.seed)
    parts, model = split(args.work / "phantom", candidate.patients), UNet(**candidate.network)
    kept, started = list[Weights](), time.perf_counter()

    def keep(history: list[dict[str, float]]) -> None:
        """Remember the weights of an epoch, and forget those of the first part of the run."""
        kept.append({name: values.clone() for name, values in model.state_dict().items()})
        done = [config.progress(int(e["step"]), e["seconds"], 1) for e in history]
        del kept[: sum(share < 1 - AVERAGED for share in done[-len(kept) :])]

    run, change = args.work / args.name, candidate.augment or augment
    few = parts["val"][::8]  # the weights of a moment are not chosen by them, so a glance is enough
    if candidate.first:
        lesson = settings(replace(candidate, patch_size=160, batch_size=48), args, candidate.first, device)
        fit(parts["train"], few, args.work / f"{args.name}-first", lesson, model, device, False, False)
    config = settings(candidate, args, 1 - candidate.first, device)
    fit(parts["train"], few, run, config, model, device, False, False, keep, augment=change)
    last = load_state(run / "last.pt")
    last["images"]["val"] = image_hashes(parts["val"])
    made = {
        "seconds": round(time.perf_counter() - started, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "torch": str(torch.__version__),
        "settings": json.loads(json.dumps(asdict(candidate))),
    }
    variants = {}
    for name, weights in {"last": last["model"], "mean": mean_of(kept)}.items():
        model.load_state_dict(weights)
        variants[name] = {"model": halved(weights), **choose_on_validation(model, parts["val"])}
        point = variants[name]["val"]
        print(args.name, name, made["seconds"], "s", last["step"], "steps", point, flush=True)
    of_run = ("network", "model_settings", "config", "images", "step", "val_dice", "history")
    state = {"name": args.name, "made": made, "variants": variants}
    save_state(args.out / f"{args.name}.pt", {**state, "last": {name: last[name] for name in of_run}})
    networks(args.out / f"{args.name}.pt")  # so that a file that cannot be read fails here


def settings(
    candidate: Candidate, args: argparse.Namespace, part: float, device: torch.device
) -> TrainConfig:
    """How a candidate is trained here for a part of its time; a CPU takes small batches."""
    length = {"n_steps": round(part * args.steps)} if args.steps else {"minutes": part * args.minutes}
    gpu = device.type == "cuda"
    return TrainConfig(
        **length,
        batch_size=candidate.batch_size if gpu else candidate.batch_size // 8,
        learning_rate=6e-3 if gpu else 4e-3,
        patch_size=candidate.patch_size,
        lookalike_fraction=candidate.lookalikes,
        steps_per_epoch=args.epoch,
        seed=candidate.seed,
    )


def split(folder: Path, n_patients: int) -> dict[str, list[Pair]]:
    """The last VALIDATION patients choose, the first ones learn."""
    pairs = find_pairs(folder)
    groups = sorted({pair.group for pair in pairs})
    n_val = min(VALIDATION, len(groups) // 4)
    parts = {"train": set(groups[: len(groups) - n_val][:n_patients]), "val": set(groups[-n_val:])}
    return {name: [pair for pair in pairs if pair.group in part] for name, part in parts.items()}


def mean_of(kept: Sequence[Weights]) -> Weights:
    """The mean of several sets of weights; whole numbers are those of the last one."""
    return {
        name: torch.stack([weights[name] for weights in kept]).mean(0)
        if values.is_floating_point()
        else values
        for name, values in kept[-1].items()
    }


def halved(weights: Weights) -> Weights:
    """The weights on the CPU; kernels in float16 if a file would otherwise be too large."""
    own = {name: values.detach().cpu().contiguous().clone() for name, values in weights.items()}
    if sum(values.nbytes for values in own.values()) < LARGEST - 2**17:
        return own
    return {name: values.half() if values.ndim == 4 else values for name, values in own.items()}


@torch.no_grad()
def choose_on_validation(model: UNet, pairs: list[Pair]) -> dict[str, Any]:
    """Threshold and smallest stone on validation images with other greys; Dice at 0.5 on them as they are."""
    images, masks = load_arrays(pairs)
    greys = Stronger(scale=(1, 1), stretch=1, turn=0, upside_down=False, cut=0)
    generator, changed = torch.Generator().manual_seed(SEED), []
    for image, mask in zip(images, masks, strict=True):
        tensors = normalise(torch.from_numpy(image))[None, None], torch.from_numpy(mask)[None, None]
        changes = greys.draw(1, generator)
        changes[:, :6] = torch.tensor([1.0, 0, 0, 0, 1, 0])  # not mirrored
        new, _ = greys.change(*tensors, changes, torch.randn(tensors[0].shape, generator=generator))
        changed.append(((new[0, 0] + 1) * 127.5).round().byte().numpy())
    rows = table(predict_all(model, changed[::2]), masks[::2])
    best, pairs_of = choose(rows), list(zip(predict_all(model, images), masks, strict=True))
    val_dice = float(np.mean([dice(p >= 0.5, mask) for p, mask in pairs_of if mask.any()]))
    point = {"threshold": best["threshold"], "min_pixels": int(best["min_pixels"])}
    return {**point, "val": best, "val_dice": val_dice}


# --------------------------------------------------------------------------------------------- score
def table(probabilities: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> list[dict[str, float]]:
    """Mean Dice, share of the sections found and false alarms an image at every threshold and least size."""
    rows = []
    for threshold, least in itertools.product(THRESHOLDS, MIN_PIXELS):
        answers = [predicted_mask(p, threshold, least) for p in probabilities]
        matches = [match_stones(answer, mask) for answer, mask in zip(answers, masks, strict=True)]
        scores = [float(dice(a, m)) for a, m in zip(answers, masks, strict=True) if m.any()]
        rows.append(
            {
                "threshold": threshold,
                "min_pixels": least,
                "dice": float(np.mean(scores)),
                "found": sum(m.n_found for m in matches) / max(1, sum(m.n_sections for m in matches)),
                "false_alarms": sum(m.n_false_positives for m in matches) / len(masks),
            }
        )
    return rows


def choose(rows: list[dict[str, float]]) -> dict[str, float]:
    """The row with the greatest sum of Dice and share found, of those with few enough false alarms.

    Where none has few enough, the one with the fewest.
    """
    allowed = [row for row in rows if row["false_alarms"] <= MOST_FALSE_ALARMS]
    if not allowed:
        return min(rows, key=lambda row: row["false_alarms"])
    return max(allowed, key=lambda row: row["dice"] + row["found"])


def score(args: argparse.Namespace) -> None:
    """Print a line a variant and data set, at the point that REAL chooses, and write everything to --out."""
    warnings.simplefilter("ignore", UserWarning)  # images without a mask
    fresh = args.work or Path(tempfile.gettempdir()) / f"phantom-{args.phantom_seed}-{args.patients}"
    if not fresh.exists():
        phantom.write_dataset(fresh, n_patients=args.patients, seed=args.phantom_seed, progress=False)
    sets = {"phantom": find_pairs(fresh)}
    if args.real:  # first, because it chooses
        sets = {"real": find_pairs(args.real)[:: args.every], **sets}
    wanted, results = args.variants.split(",") if args.variants else None, []
    for path in args.files:
        for variant, model in networks(path).items():
            if wanted and variant not in wanted:
                continue
            point: dict[str, float] = {}
            for name, pairs in sets.items():
                images, masks = load_arrays(pairs)
                size = args.real_size if name == "real" else MAX_SIZE
                probabilities = predict_all(model, images, max_size=size)
                rows = table(probabilities, masks)
                point = point or choose(rows)
                threshold, least = point["threshold"], int(point["min_pixels"])
                groups = [pair.group for pair in pairs]
                scores = evaluate(probabilities, masks, threshold, least, groups=groups)
                said = ", ".join(f"{key} {scores[key]:.3f} {scores['intervals'][key]}" for key in SHOWN)
                print(
                    f"{path.stem} {variant}, {name}, n {len(images)}, {threshold}, {least}: {said}",
                    flush=True,
                )
                own = {key: value for key, value in scores.items() if not key.startswith("per_")}
                names = {"file": path.stem, "variant": variant, "data": name, "max_size": size}
                results.append({**names, "point": point, "scores": own, "rows": rows})
    if args.out:
        write_json(args.out, results)


def networks(path: Path) -> dict[str, UNet]:
    """The networks of a candidate's file, or the one of a checkpoint, ready to predict."""
    state = torch.load(path, weights_only=True)
    whole = state.get("last", state)
    found = {name: part["model"] for name, part in state.get("variants", {}).items()} or {"-": state["model"]}
    models = {}
    for name, weights in found.items():
        models[name] = build_network(whole, path).eval()
        load_weights(models[name], weights, path)
    return models


# ---------------------------------------------------------------------------------------------- ship
def ship(args: argparse.Namespace) -> None:
    """Write the weights file of the package, and print its size."""
    state = load_state(args.file)
    chosen, made = state["variants"][args.variant], state["made"]
    provenance = {
        "name": f"unet-kidney-stones {args.version}",
        "data": f"{made['settings']['patients']} synthetic patients of the phantom to learn from, "
        f"{VALIDATION} to watch it; no scan of a person. Threshold and smallest stone: real scans",
        "command": args.command,
        "candidate": f"{state['name']}, {args.variant}",
        "seed": SEED,
        "made": made,
        "licence": "MIT",
        "not_for": "no medical device: made to teach, not to find stones in people",
        "scores": json.loads(args.scores.read_text("utf-8")) if args.scores else {},
    }
    point = {"threshold": args.threshold, "min_pixels": args.min_pixels}
    if args.threshold is None:
        point = {name: chosen[name] for name in point}
    # 16 bits halve the file and move a score by 0.001 at most; a network loads them as float32
    halved = {name: v.half() if v.is_floating_point() else v for name, v in chosen["model"].items()}
    own = {"model": halved, "split": {"train": [], "val": []}, "provenance": provenance}
    own["val_dice"] = chosen["val_dice"]
    save_state(WEIGHTS, {**state["last"], **point, **own, "max_size": args.max_size})
    print(f"{WEIGHTS.stat().st_size / 2**20:.2f} MiB, {point}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for name, does in (("train", train), ("one", one), ("score", score), ("ship", ship)):
        sub = commands.add_parser(name, help=(does.__doc__ or "").partition("\n")[0])
        sub.set_defaults(does=does)
        {"score": _score_options, "ship": _ship_options}.get(name, _train_options)(sub, name)
    args = parser.parse_args()
    args.does(args)


def _train_options(sub: argparse.ArgumentParser, name: str) -> None:
    if name == "one":
        sub.add_argument("name", choices=CANDIDATES)
    sub.add_argument("--candidates", default=DEFAULTS, help=f"names, with commas (default {DEFAULTS})")
    sub.add_argument("--minutes", type=float, default=2.0, help="of each candidate (default 2)")
    sub.add_argument("--steps", type=int, help="instead of minutes")
    sub.add_argument("--epoch", type=int, default=200, help="steps between two validations")
    sub.add_argument("--patients", type=int, default=PATIENTS, help="of the phantom")
    sub.add_argument("--parallel", type=int, default=6, help="candidates at the same time")
    sub.add_argument("--work", type=Path, help="folder of the phantom and the runs; by itself a new one")
    sub.add_argument("--out", type=Path, required=True)


def _score_options(sub: argparse.ArgumentParser, _: str) -> None:
    sub.add_argument("files", type=Path, nargs="+")
    sub.add_argument("--variants", help="names, with commas between them; by itself all")
    sub.add_argument("--real", type=Path, help="folder of real images and masks")
    sub.add_argument("--every", type=int, default=1, help="score every so many real images")
    sub.add_argument("--real-size", type=int, default=REAL_SIZE, help="longest side for the network")
    sub.add_argument("--phantom-seed", type=int, default=2028)
    sub.add_argument("--patients", type=int, default=40, help="fresh phantom patients")
    sub.add_argument("--work", type=Path, help="folder of the fresh phantom")
    sub.add_argument("--out", type=Path, help="JSON file for everything")


def _ship_options(sub: argparse.ArgumentParser, _: str) -> None:
    sub.add_argument("file", type=Path)
    sub.add_argument("--variant", default="last")
    sub.add_argument("--threshold", type=float)
    sub.add_argument("--min-pixels", type=int)
    sub.add_argument("--max-size", type=int, default=REAL_SIZE, help="longest side for the network")
    sub.add_argument("--version", default="1")
    sub.add_argument("--command", required=True, help="what made the file")
    sub.add_argument("--scores", type=Path, help="JSON file of scores for the provenance")


if __name__ == "__main__":
    main()
