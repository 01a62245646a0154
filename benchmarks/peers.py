"""Our recipe beside the networks that people take from a library, at equal training seconds.

Each library network runs twice. First with its own settings: for MONAI's and segmentation_models_pytorch's
those of a published kidney stone notebook (whole images of 256 pixels, batch 8, Adam 1e-4, Dice + focal loss,
float32, no augmentation), one run, whose clock stands still while it is scored at each budget; for nnU-Net's
2D network nnU-Net's own (see nnunet.py), a run a budget. Then inside our recipe, with a run a budget as well,
because its learning rate ends with the budget.

    pip install -e '.[bench]'
    python benchmarks/peers.py --seeds 0,1,2
    python benchmarks/peers.py --seeds 0,1,2 --threads 1 --jobs 14 --cores 2-15 --budgets 60,180 --wall 320
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from contest import Padded, Row, Split, device, main, score, speed_row, timed_config, train_with_fit
from torch import Tensor, nn

from unet_helpers.data import load_arrays
from unet_helpers.model import UNet
from unet_helpers.transforms import normalise, resize_image, resize_mask

SIDE, BATCH_SIZE = 256, 8


# ------------------------------------------------- networks; a library is loaded by whoever needs it alone
def monai_basicunet() -> nn.Module:
    from monai.networks.nets import BasicUNet

    return Padded(BasicUNet(spatial_dims=2, in_channels=1, out_channels=1))


def monai_unet() -> nn.Module:
    from monai.networks.nets import UNet as MonaiUNet

    widths = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2), "num_res_units": 2}
    return Padded(MonaiUNet(spatial_dims=2, in_channels=1, out_channels=1, **widths))


def smp_resnet34() -> nn.Module:
    import segmentation_models_pytorch as smp

    return Padded(smp.Unet("resnet34", encoder_weights=None, in_channels=1, classes=1))


def nnunet() -> nn.Module:
    from nnunet import in_one_logit

    return in_one_logit()


# ------------------------------------------------------------------------------------------- training
def in_our_recipe(build: Callable[[], nn.Module], split: Split, seed: int, budgets: list[float]) -> list[Row]:
    rows = []
    for budget in budgets:
        torch.manual_seed(seed)
        model = build()
        row = train_with_fit(model, split, timed_config(budget, seed), budget)
        rows.append({**row, **score(model, split)})
    return rows


def with_notebook_settings(
    build: Callable[[], nn.Module], split: Split, seed: int, budgets: list[float]
) -> list[Row]:
    import segmentation_models_pytorch as smp

    where = device()
    model, (images, masks) = build().to(where), _whole_images(split)
    images, masks = images.to(where), masks.to(where)
    dice_loss, focal_loss = smp.losses.DiceLoss("binary"), smp.losses.FocalLoss("binary")
    optimiser = torch.optim.Adam(model.parameters(), 1e-4)
    generator, order = torch.Generator().manual_seed(seed), []
    rows, seconds, n_steps, speed = [], 0.0, 0, {}
    for budget in sorted(budgets):
        while seconds < budget:
            start = time.perf_counter()
            order = order or list(torch.randperm(len(images), generator=generator).split(BATCH_SIZE))
            which = order.pop().to(where)
            logits = model(normalise(images[which]))
            loss = dice_loss(logits, masks[which]) + focal_loss(logits, masks[which])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if where.type == "cuda":
                torch.cuda.synchronize()
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


def nnunet_with_own_settings(split: Split, seed: int, budgets: list[float]) -> list[Row]:
    from nnunet import with_own_settings

    return with_own_settings(split, seed, budgets)


PEERS = {"monai-basicunet": monai_basicunet, "monai-unet": monai_unet, "smp-resnet34": smp_resnet34}
CONTESTANTS = {"ours": partial(in_our_recipe, UNet)}
for peer, build in PEERS.items():
    CONTESTANTS[peer] = partial(with_notebook_settings, build)
    CONTESTANTS[f"{peer}-in-ours"] = partial(in_our_recipe, build)
CONTESTANTS |= {"nnunet": nnunet_with_own_settings, "nnunet-in-ours": partial(in_our_recipe, nnunet)}

if __name__ == "__main__":
    main(
        __file__,
        CONTESTANTS,
        separate_runs=lambda name: name not in PEERS,
        overhead=lambda name: 130.0 if name.startswith("nnunet") else 40.0,  # 20 times as many operations
    )
