"""nnU-Net's 2D plain U-Net, in its own settings and inside our recipe.

The network is the one of the package that nnU-Net itself uses. Topology and settings are nnU-Net's defaults
for 2D (version 2): each stage halves the sides until they reach 4 to 7 pixels, 32 channels at the first stage
and twice as many at each further one up to 512, two convolutions a stage, InstanceNorm, LeakyReLU, strided
convolutions instead of pooling. Of its recipe are taken: whole slices as patches, 12 of them, a third
certain to hold a stone, SGD with Nesterov momentum 0.99, rate 0.01 falling as (1 - progress)^0.9, weight
decay 3e-5, gradients clipped at 12, Dice over the whole batch plus cross-entropy, at every resolution of
the decoder but the lowest with weights 1, 1/2, 1/4 ... that sum to 1. Grey values and augmentation are ours,
which are close to its own: neither its planner nor its loader runs here.

References: Isensee et al. (2021), nnU-Net, Nature Methods 18, 203-211;
https://github.com/MIC-DKFZ/dynamic-network-architectures
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from contest import Padded, Row, Split, device, score, speed_row
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from dynamic_network_architectures.initialization.weight_init import InitWeights_He
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from unet_helpers.data import load_arrays
from unet_helpers.engine.devices import fast_precision, sixteen_bit_type
from unet_helpers.transforms import PatchSampler, augment, normalise

SIDE, BATCH_SIZE, STONE_SHARE, RATE, CLIP = 256, 12, 1 / 3, 1e-2, 12.0


def plain_unet(side: int, n_classes: int, deep_supervision: bool = False) -> PlainConvUNet:
    """The default topology for square patches with this side, with nnU-Net's first weights."""
    n_stages = 1
    while side % 2 == 0 and side // 2 >= 4:
        side, n_stages = side // 2, n_stages + 1
    network = PlainConvUNet(
        input_channels=1,
        n_stages=n_stages,
        features_per_stage=[min(512, 32 * 2**stage) for stage in range(n_stages)],
        conv_op=nn.Conv2d,
        kernel_sizes=3,
        strides=[1] + [2] * (n_stages - 1),
        n_conv_per_stage=2,
        num_classes=n_classes,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=deep_supervision,
    )
    network.apply(InitWeights_He(1e-2))
    return network


def in_one_logit(side: int = 160) -> nn.Module:
    """The network with one logit a pixel, for our recipe."""
    network = plain_unet(side, n_classes=1)
    return Padded(network, 2 ** (len(network.encoder.stages) - 1))


class TwoClasses(nn.Module):
    """The network with its own two classes; while it trains it answers with all its resolutions.

    Attributes:
        network: nnU-Net's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = plain_unet(SIDE, n_classes=2, deep_supervision=True)
        self.multiple = 2 ** (len(self.network.encoder.stages) - 1)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Images (B, 1, H, W) -> logits (B, 2, H / 2^k, W / 2^k) in training, else of stone (B, 1, H, W).

        The softmax of two logits is the sigmoid of their difference.
        """
        self.network.decoder.deep_supervision = self.training
        if self.training:
            return self.network(image)
        logits = Padded(self.network, self.multiple)(image)
        return logits[:, 1:] - logits[:, :1]


def dice_and_cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Loss of one resolution: minus the Dice of the stones of the whole batch, plus cross-entropy.

    Args:
        logits: Float tensor (B, 2, H, W).
        masks: Float tensor (B, 1, H, W) of 0 and 1.
    """
    stone = logits.float().softmax(1)[:, 1]
    mask = masks[:, 0]
    overlap = 2 * (stone * mask).sum() + 1e-5
    dice = overlap / (stone.sum() + mask.sum() + 1e-5).clamp(min=1e-8)
    return cross_entropy(logits.float(), mask.long()) - dice


def deep_loss(all_logits: Sequence[Tensor], masks: Tensor) -> Tensor:
    """Loss over the resolutions, finest first; the coarsest one does not count.

    Args:
        all_logits: Float tensors (B, 2, H / 2^k, W / 2^k).
        masks: Bool tensor (B, 1, H, W).
    """
    weights = [2.0**-k for k in range(len(all_logits) - 1)]
    losses = [
        weight * dice_and_cross_entropy(logits, interpolate(masks.float(), logits.shape[-2:], mode="nearest"))
        for weight, logits in zip(weights, all_logits, strict=False)
    ]
    return torch.stack(losses).sum() / sum(weights)


def with_own_settings(split: Split, seed: int, budgets: list[float]) -> list[Row]:
    """A row a budget, each of a run of its own, because the rate ends with the budget."""
    return [_one_run(split, seed, budget) for budget in budgets]


def _one_run(split: Split, seed: int, budget: float) -> Row:
    torch.manual_seed(seed)
    where = device()
    model = TwoClasses().to(where).train()
    sampler = PatchSampler(*load_arrays(split["train"]), SIDE, STONE_SHARE, 0.0, where)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.SGD(model.parameters(), RATE, momentum=0.99, weight_decay=3e-5, nesterov=True)
    scaler = torch.amp.GradScaler(where.type, enabled=sixteen_bit_type(where) == torch.float16)
    seconds, n_steps, started = 0.0, 0, time.perf_counter()
    while seconds < budget:
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - seconds / budget) ** 0.9
        images, masks, _ = sampler.sample(BATCH_SIZE, generator)
        images, masks = augment(normalise(images), masks, generator)
        optimiser.zero_grad()
        with fast_precision(where):
            all_logits = model(images)
        scaler.scale(deep_loss(all_logits, masks)).backward()
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        scaler.step(optimiser)
        scaler.update()
        if where.type == "cuda":
            torch.cuda.synchronize()
        seconds, n_steps = time.perf_counter() - started, n_steps + 1
    dtype = sixteen_bit_type(where) or torch.float32
    speed = speed_row(model.eval(), SIDE, n_steps * BATCH_SIZE, seconds, dtype)
    return {**speed, "steps": n_steps, "budget": budget, **score(model, split)}
