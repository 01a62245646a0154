"""Our recipe beside the networks that people take from a library, at equal training seconds.

Each library network runs twice. First with the settings of a published kidney stone notebook (whole images
of 256 pixels, batch 8, Adam 1e-4, Dice + focal loss, float32, no augmentation): one run, whose clock stands
still while it is scored at each budget. Then inside our recipe, with a run a budget, because its learning
rate ends with the budget.

    pip install -e '.[bench]'
    python benchmarks/peers.py --seeds 0,1,2
"""

from __future__ import annotations

import time

import segmentation_models_pytorch as smp
import torch
from contest import Padded, Row, Split, main, score, speed_row, timed_config, train_with_fit
from monai.networks.nets import BasicUNet
from monai.networks.nets import UNet as MonaiUNet
from torch import Tensor, nn

from unet_helpers.model import UNet
from unet_helpers.training import load_arrays
from unet_helpers.transforms import normalise, resize_image, resize_mask

SIDE, BATCH_SIZE = 256, 8


def network(name: str) -> nn.Module:
    if name == "monai-basicunet":
        return Padded(BasicUNet(spatial_dims=2, in_channels=1, out_channels=1))
    if name == "monai-unet":
        widths = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2), "num_res_units": 2}
        return Padded(MonaiUNet(spatial_dims=2, in_channels=1, out_channels=1, **widths))
    if name == "smp-resnet34":
        return Padded(smp.Unet("resnet34", encoder_weights=None, in_channels=1, classes=1))
    return UNet()


def in_our_recipe(name: str, split: Split, seed: int, budgets: list[float]) -> list[Row]:
    rows = []
    for budget in budgets:
        torch.manual_seed(seed)
        model = network(name)
        row = train_with_fit(model, split, timed_config(budget, seed), budget)
        rows.append({**row, **score(model, split)})
    return rows


def with_their_settings(name: str, split: Split, seed: int, budgets: list[float]) -> list[Row]:
    model, (images, masks) = network(name), _whole_images(split)
    dice_loss, focal_loss = smp.losses.DiceLoss("binary"), smp.losses.FocalLoss("binary")
    optimiser = torch.optim.Adam(model.parameters(), 1e-4)
    generator, order = torch.Generator().manual_seed(seed), []
    rows, seconds, n_steps, speed = [], 0.0, 0, {}
    for budget in sorted(budgets):
        while seconds < budget:
            start = time.perf_counter()
            order = order or list(torch.randperm(len(images), generator=generator).split(BATCH_SIZE))
            which = order.pop()
            logits = model(normalise(images[which]))
            loss = dice_loss(logits, masks[which]) + focal_loss(logits, masks[which])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            seconds, n_steps = seconds + time.perf_counter() - start, n_steps + 1
        speed = speed or speed_row(model, SIDE, n_steps * BATCH_SIZE, seconds, torch.float32)
        now = {"training_seconds": round(seconds, 1), "steps": n_steps, "budget": budget}
        rows.append({**speed, **now, **score(model, split)})
    return rows


def _whole_images(split: Split) -> tuple[Tensor, Tensor]:
    """Uint8 images and float masks (N, 1, 256, 256)."""
    images, masks = load_arrays(split["train"])
    size = (SIDE, SIDE)
    images = [torch.from_numpy(resize_image(image, size)) for image in images]
    masks = [torch.from_numpy(resize_mask(mask, size)) for mask in masks]
    return torch.stack(images)[:, None], torch.stack(masks)[:, None].float()


PEERS = ("monai-basicunet", "monai-unet", "smp-resnet34")
CONTESTANTS = {"ours": lambda *args: in_our_recipe("ours", *args)}
for peer in PEERS:
    CONTESTANTS[peer] = lambda *args, peer=peer: with_their_settings(peer, *args)
    CONTESTANTS[f"{peer}-in-ours"] = lambda *args, peer=peer: in_our_recipe(peer, *args)

if __name__ == "__main__":
    main(__file__, CONTESTANTS, separate_runs=lambda name: name not in PEERS)
