"""A U-Net whose answers are known, and slices drawn for it: every score can be worked out on paper."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from PIL import Image

from unet_helpers.checkpoint import save_state
from unet_helpers.data import Pair, image_hash, load_image
from unet_helpers.model import UNet
from unet_helpers.training import TrainConfig

TISSUE, DIM, FAINT, STONE = 40, 144, 160, 224  # greys; the network gives them 0.00, 0.73, 0.88 and 1.00


def known_unet() -> UNet:
    """A U-Net that computes logit = grey / 16 - 8 at every pixel, whatever lies around it."""
    network = UNet(base_channels=4, depth=2)  # 2 x 2 pixels enter as 4 channels, which all layers keep
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                module.weight.zero_()
                if module.bias is not None:
                    module.bias.zero_()
        for block in (network.down[0], network.merge[0]):  # merge sees the skip connection before the rest
            for convolution in (block[0], block[3]):
                convolution.weight[range(4), range(4), 1, 1] = 1.0
        network.down[0][1].bias.fill_(1.0)  # grey / 127.5 - 1 becomes positive: ReLU then changes nothing
        network.head.weight[range(4), range(4), 0, 0] = 127.5 / 16
        network.head.bias.fill_(-8.0)
    return network.eval()


def save_known(
    path: Path,
    threshold: float = 0.5,
    min_pixels: int = 0,
    train: Sequence[Pair] = (),
    val: Sequence[Pair] = (),
) -> Path:
    """A checkpoint of `known_unet` that says it was trained on these pairs."""
    network, parts = known_unet(), {"train": train, "val": val}
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "network": "unet_helpers.model.UNet",
        "model_settings": network.settings,
        "model": network.state_dict(),
        "config": asdict(TrainConfig()),
        "split": {name: sorted({pair.group for pair in pairs}) for name, pairs in parts.items()},
        "images": {n: [image_hash(load_image(p.image_path)) for p in pairs] for n, pairs in parts.items()},
        "threshold": threshold,
        "min_pixels": min_pixels,
        "step": 100,
        "val_dice": 0.9,
        "history": [
            {"step": 50, "seconds": 0.5, "train_loss": 0.4, "val_dice": 0.6, "learning_rate": 0.02},
            {"step": 100, "seconds": 1.0, "train_loss": 0.1, "val_dice": 0.9, "learning_rate": 0.01},
        ],
    }
    save_state(path, state)
    return path


def write_slice(
    folder: Path,
    stem: str,
    squares: dict[tuple[int, int, int, int], int],
    stone: tuple[int, int, int, int] | None,
    size: tuple[int, int] = (48, 48),
) -> Path:
    """Write a slice of tissue with squares (row, column, height, width) of some grey, and its mask."""
    folder.mkdir(parents=True, exist_ok=True)
    image, mask = np.full(size, TISSUE, np.uint8), np.zeros(size, np.uint8)
    for (row, column, height, width), grey in squares.items():
        image[row : row + height, column : column + width] = grey
    if stone:
        row, column, height, width = stone
        mask[row : row + height, column : column + width] = 255
    image[0, :4] = [byte // 8 for byte in crc32(stem.encode()).to_bytes(4)]  # no two are the same image
    Image.fromarray(image).save(folder / f"{stem}.png")
    Image.fromarray(mask).save(folder / f"{stem}_mask.png")
    return folder / f"{stem}.png"


def write_groups(folder: Path) -> None:
    """groups.csv: the patient of a slice is its name up to the hyphen."""
    stems = sorted(path.stem for path in folder.glob("*.png") if not path.stem.endswith("_mask"))
    rows = [f"{stem},{stem.partition('-')[0]}" for stem in stems]
    (folder / "groups.csv").write_text("\n".join(["stem,group", *rows]))
