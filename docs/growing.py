"""Draws `growing.gif`, the picture at the top of the README: a network learns to see one stone.

    python docs/growing.py RUN    where RUN is the run folder of lesson 4, finished

trains the network of lesson 4 for its first 600 steps, a minute on one core, and looks after some of them at
the slice of the patient who runs through the lessons. He is in the test part: no step has learned from him.
The last picture is what the finished run answers. Nothing is drawn but what the network said.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import unet_helpers as uh
from unet_helpers.data import Pair
from unet_helpers.exercises import hero_case
from unet_helpers.training import Run, TrainConfig, train_step
from unet_helpers.transforms import PatchSampler

OUT = Path(__file__).with_name("growing.gif")
MOMENTS = (0, 60, 100, 200, 250, 300, 400, 450, 500, 600)  # steps
SIDE, GAP, FOOT, WINDOW = 420, 12, 58, 42  # px of a panel, between the two, of the line below; of the slice
LOOK_MS, LAST_MS, N_LOOPS = 900, 4000, 3  # it comes to rest on the last picture
PINK, GREEN, PAPER, INK = (255, 92, 170), (0, 200, 140), (255, 255, 255), (40, 40, 40)


def answers(image: np.ndarray, train: list[Pair], finished: Path) -> dict[int, np.ndarray]:
    """Step -> probabilities (H, W) of one slice, of a training that does not know it."""
    torch.manual_seed(0)
    run = Run(TrainConfig(), uh.UNet(), torch.device("cpu"))
    sampler = PatchSampler(*uh.load_arrays(train), patch_size=run.config.patch_size)
    seen = {}
    for step in range(MOMENTS[-1] + 1):
        if step in MOMENTS:
            run.model.eval()
            seen[step] = uh.predict(run.model, image)
            run.model.train()
        train_step(run, sampler)
    seen[run.config.n_steps] = uh.predict(uh.load_checkpoint(finished / "best.pt").model, image)
    return seen


def outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of a large mask that lie near its edge, bool (H, W)."""
    inside = mask.copy()
    for axis in (0, 1):
        for shift in (-3, 3):
            inside &= np.roll(mask, shift, axis)
    edge: np.ndarray = mask & ~inside
    return edge


def painted(grey: np.ndarray, probability: np.ndarray) -> Image.Image:
    """A part of a slice as a panel, pink where the network is sure of a stone."""
    size = (SIDE, SIDE)
    base = np.array(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC).convert("RGB"), float)
    sure = Image.fromarray(probability.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    weight = 0.85 * np.clip(np.array(sure), 0, 1)[..., None]
    return Image.fromarray((base * (1 - weight) + np.array(PINK) * weight).astype(np.uint8))


def frame(
    image: np.ndarray, probability: np.ndarray, corner: tuple[int, int], words: str, ring: np.ndarray | None
) -> Image.Image:
    """One picture of the film: the slice, a part of it enlarged, and a line of words."""
    row, column = corner
    part = np.s_[row : row + WINDOW, column : column + WINDOW]
    sheet = Image.new("RGB", (2 * SIDE + GAP, SIDE + FOOT), PAPER)
    pen, scale = ImageDraw.Draw(sheet), SIDE / image.shape[0]
    sheet.paste(painted(image, probability), (0, 0))
    near = np.array(painted(image[part], probability[part]))
    if ring is not None:
        large = Image.fromarray(np.uint8(255) * ring[part]).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        near[outline(np.array(large) > 0)] = GREEN
    sheet.paste(Image.fromarray(near), (SIDE + GAP, 0))
    box = [scale * one for one in (column, row, column + WINDOW, row + WINDOW)]
    pen.rectangle(box, outline=PAPER, width=2)
    pen.text((2, SIDE + 10), words, fill=INK, font=ImageFont.load_default(32))
    return sheet


def main(finished: Path) -> None:
    pairs = uh.find_pairs(uh.open_dataset())
    split = uh.split_by_group(pairs, strata=uh.stone_strata(pairs))
    image, truth = uh.load_pair(hero_case(split["test"]))
    row, column = (int(middle) - WINDOW // 2 for middle in np.argwhere(truth).mean(axis=0).round())
    seen = answers(image, split["train"], finished)
    film = [frame(image, p, (row, column), f"after {step:,} steps", None) for step, p in seen.items()]
    film.append(
        frame(image, seen[max(seen)], (row, column), "found: pink its answer, green the truth", truth)
    )
    times = [LOOK_MS] * (len(film) - 2) + [2 * LOOK_MS, LAST_MS]
    palette = _palette()
    small = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in film]
    small[0].save(OUT, save_all=True, append_images=small[1:], duration=times, loop=N_LOOPS, optimize=True)
    print(f"{OUT}: {OUT.stat().st_size / 1000:.0f} kB")


def _palette() -> Image.Image:
    """Greys, greys under pink, green and ink: colours of their own, so that nothing is tinted by chance."""
    greys, some = np.linspace(0, 255, 54)[:, None], np.linspace(0, 255, 20)[:, None]
    pinks = [some * (1 - weight) + np.array(PINK) * weight for weight in np.linspace(0.08, 0.85, 10)]
    colours = np.concatenate([greys.repeat(3, axis=1), *pinks, [GREEN, INK]]).round().astype(np.uint8)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.tobytes())
    return palette


if __name__ == "__main__":
    main(Path(sys.argv[1]))
