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
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from machine import convolution_peak, operations_per_image, synchronise
from torch import Tensor, nn

from unet_helpers.data import Pair, find_pairs, load_arrays, open_dataset, split_by_group, stone_strata
from unet_helpers.engine.devices import choose_device, sixteen_bit_type
from unet_helpers.engine.stack import Stack
from unet_helpers.engine.stopping import read_losses
from unet_helpers.model import UNet
from unet_helpers.training import Run, TrainConfig, default_config, fit
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
    variant: str,
    arrays: tuple[list, list],
    config: TrainConfig,
    device: torch.device,
    n_steps: int,
    base_channels: int = 16,
    stack: Stack | None = None,
) -> float:
    """Milliseconds of a whole training step, patches and augmentation included.

    Args:
        variant: A key of `VARIANTS`.
        arrays: Training images and masks.
        config: Settings.
        device: Where to compute.
        n_steps: Steps that are timed.
        base_channels: Width of the network.
        stack: What `engine.stack.stack_up` made of the arrays on the device; None to make it here.
    """
    run, sampler = prepare(variant, arrays, config, device, base_channels, stack)
    step = step_of(run, sampler)

    def whole_step() -> None:
        step()
        if variant == "loss read at every step" or not run.reads_late:
            read_losses(run)

    milliseconds = timed(whole_step, n_steps, device)
    return milliseconds if getattr(step.func, "works", True) else float("nan")  # it could not be recorded


def prepare(
    variant: str,
    arrays: tuple[list, list],
    config: TrainConfig,
    device: torch.device,
    base_channels: int = 16,
    stack: Stack | None = None,
) -> tuple[Run, PatchSampler]:
    """A run and its patches, with one optimisation left out."""
    torch.manual_seed(config.seed)
    run = Run(config, UNet(**network_settings(variant, base_channels)), device)
    run.model.train()
    shares = config.patch_size, config.stone_fraction, config.lookalike_fraction
    elsewhere = variant == "images kept on the CPU"
    sampler = PatchSampler(*arrays, *shares, "cpu" if elsewhere else device, None if elsewhere else stack)
    sampler.device = device  # where the patches go
    if variant == "float32 instead of 16 bits":
        run.network, run.scaler = _in_float32(run.model), torch.amp.GradScaler(device.type, enabled=False)
    if variant == "channels first":
        run.model.to(memory_format=torch.contiguous_format)
        run.network = lambda images: run.model(images.clone(memory_format=torch.contiguous_format))
    if variant == "unfused optimiser":
        recorded = device.type == "cuda" and config.cuda_graphs == "auto"
        run.optimiser = torch.optim.AdamW(run.model.parameters(), fused=False, capturable=recorded)
    if variant == "with torch.compile":
        run.network = torch.compile(run.model, dynamic=False)
    return run, sampler


def step_of(run: Run, sampler: PatchSampler) -> partial[None]:
    """What `fit` calls once a step: on a GPU a recording of `train_step`, unless the settings forbid it."""
    from unet_helpers.engine.graphs import step_function

    return partial(step_function(run), run, sampler)


def timed(step: Callable[[], None], n_steps: int, device: torch.device, n_first: int = 5) -> float:
    """Milliseconds a step, after some that prepare what later ones use again."""
    for _ in range(n_first):
        step()
    synchronise(device)
    start = time.perf_counter()
    for _ in range(n_steps):
        step()
    synchronise(device)
    return 1000 * (time.perf_counter() - start) / n_steps


def _in_float32(model: nn.Module) -> Callable[[Tensor], Tensor]:
    def network(images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            return model(images)

    return network


def network_settings(variant: str, base_channels: int = 16) -> dict[str, int]:
    """Arguments of the `UNet` of a variant."""
    if variant.startswith("without folding"):
        return {"base_channels": base_channels // 2, "unshuffle": 1}
    return {"base_channels": base_channels}


def step_table(split: dict[str, list[Pair]], config: TrainConfig, device: torch.device, n_steps: int) -> str:
    """Markdown: one line for each optimisation left out."""
    arrays, dtype = load_arrays(split["train"]), sixteen_bit_type(device) or torch.float32
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
        work = operations_per_image(UNet(**network_settings(variant)), config.patch_size)
        lines.append(f"| {variant} | {milliseconds:.3g} | {speed:.0f} | {100 * speed * work / peak:.0f} % |")
    return "\n".join(lines)


def dice_table(split: dict[str, list[Pair]], config: TrainConfig, device: torch.device) -> str:
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
