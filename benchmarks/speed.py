"""What each optimisation of the training step brings on this machine, and how soon a Dice is reached.

    python benchmarks/speed.py                      # the fastest device there is, the default phantom
    python benchmarks/speed.py --device cpu --no-dice

The first table leaves out one optimisation at a time (and adds torch.compile). The second trains as
`default_config` says, validates every 100 steps, and notes the seconds, validation and compiling included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from unittest.mock import patch

import torch
from contest import Split, convolution_peak, operations_per_image, synchronise

from unet_helpers import inference, training
from unet_helpers.data import find_pairs, open_dataset, split_by_group, stone_strata
from unet_helpers.engine import run_state
from unet_helpers.engine.compiling import compiled
from unet_helpers.engine.config import TrainConfig, choose_device, default_config
from unet_helpers.engine.run_state import RunState
from unet_helpers.model import UNet
from unet_helpers.training import fit, load_arrays
from unet_helpers.transforms import PatchSampler

VARIANTS = {  # True: makes sense on a GPU only
    "all": False,
    "float32 instead of 16 bits": False,
    "channels first": False,
    "unfused optimiser": False,
    "without folding 2x2 pixels, 8 channels": False,
    "images kept on the CPU": True,
    "loss read at every step": True,
    "with torch.compile": False,
}
DICES = (0.80, 0.85, 0.90)


def ms_per_step(
    variant: str, arrays: tuple[list, list], config: TrainConfig, device: torch.device, n_steps: int
) -> float:
    """Milliseconds of a whole training step, patches and augmentation included."""
    with ExitStack() as changes:
        if variant == "float32 instead of 16 bits":
            for place in (inference, run_state):
                changes.enter_context(patch.object(place, "sixteen_bit_type", lambda device: None))
        if variant == "loss read at every step":
            changes.enter_context(patch.object(training, "_reads_late", lambda device: False))
        torch.manual_seed(config.seed)
        run = RunState(config, UNet(**_settings(variant)), device, {})
        run.model.train()
        sampler = PatchSampler(
            *arrays,
            config.patch_size,
            config.stone_fraction,
            config.lookalike_fraction,
            "cpu" if variant == "images kept on the CPU" else device,
        )
        sampler.device = device  # where the patches go
        if variant == "channels first":
            run.model.to(memory_format=torch.contiguous_format)
            run.network = lambda x: run.model(x.clone(memory_format=torch.contiguous_format))
        if variant == "unfused optimiser":
            run.optimiser = torch.optim.AdamW(run.model.parameters(), fused=False)
        if variant == "with torch.compile":
            run.network = compiled(run.model)
        for step in range(n_steps + 5):
            if step == 5:  # the first steps prepare what later ones use again
                synchronise(device)
                start = time.perf_counter()
            training._train_step(run, sampler, str)
        synchronise(device)
    return 1000 * (time.perf_counter() - start) / n_steps


def _settings(variant: str) -> dict[str, int]:
    return {"base_channels": 8, "unshuffle": 1} if variant.startswith("without folding") else {}


def step_table(split: Split, config: TrainConfig, device: torch.device, n_steps: int) -> str:
    """Markdown: one line for each optimisation left out."""
    arrays, dtype = load_arrays(split["train"]), inference.sixteen_bit_type(device) or torch.float32
    peaks = {kind: convolution_peak(kind, device=device) for kind in {dtype, torch.float32}}
    rates = ", ".join(
        f"{peak / 1e12:.3g} TFLOP/s in {str(kind).removeprefix('torch.')}" for kind, peak in peaks.items()
    )
    lines = [
        f"Measured convolution peak: {rates}.",
        "",
        "| training step | ms | patches/s | share of peak |",
        "|---|---|---|---|",
    ]
    for variant, only_gpu in VARIANTS.items():
        if only_gpu and device.type == "cpu":
            continue
        milliseconds = ms_per_step(variant, arrays, config, device, n_steps)
        peak = peaks[torch.float32 if variant.startswith("float32") else dtype]
        speed = 1000 * config.batch_size / milliseconds
        work = operations_per_image(UNet(**_settings(variant)), config.patch_size)
        lines.append(f"| {variant} | {milliseconds:.3g} | {speed:.0f} | {100 * speed * work / peak:.0f} % |")
    return "\n".join(lines)


def dice_table(split: Split, config: TrainConfig, device: torch.device) -> str:
    """Markdown: seconds until the validation Dice is reached, without and with torch.compile."""
    lines = [
        "| torch.compile | " + " | ".join(f"s to {dice:g}" for dice in DICES) + " | best | s in all |",
        "|---" * (len(DICES) + 3) + "|",
    ]
    for choice in ("off", "on"):
        with tempfile.TemporaryDirectory() as run:
            settings = replace(config, compile=choice, steps_per_epoch=100)
            history = fit(split["train"], split["val"], run, settings, device=device)
        reached = [
            next((f"{e['seconds']:.0f}" for e in history if e["val_dice"] >= dice), "not reached")
            for dice in DICES
        ]
        best = max(entry["val_dice"] for entry in history)
        cells = (choice, *reached, f"{best:.3f}", f"{history[-1]['seconds']:.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="phantom", help='"phantom", or a folder of pairs (default phantom)')
    parser.add_argument("--device", help="cpu, cuda ...; the fastest one by default")
    parser.add_argument("--steps", type=int, default=100, help="steps that are timed (default 100)")
    parser.add_argument(
        "--dice",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="train to measure the time to a Dice",
    )
    args = parser.parse_args()
    device = choose_device(args.device)
    threads = f"{torch.get_num_threads()} threads"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else threads
    pairs, config = find_pairs(open_dataset(args.data)), default_config(device)
    split = split_by_group(pairs, strata=stone_strata(pairs))
    print(
        f"{device.type}, {name}, PyTorch {torch.__version__}; {config.batch_size} patches of "
        f"{config.patch_size} pixels a step, {args.steps} steps timed.",
        end="\n\n",
    )
    print(step_table(split, config, device, args.steps), end="\n\n", flush=True)
    if args.dice:
        print(dice_table(split, config, device))


if __name__ == "__main__":
    main()
