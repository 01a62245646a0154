"""What the lessons of this series share: data, U-Net, losses, metrics, training, evaluation, pictures.

`import unet_helpers as uh` costs nothing: a name is loaded when it is first used, as in `uh.UNet()`, and so
is a module, as in `uh.metrics`. docs/api.md has a working example of each name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # editors and type checkers read these; at run time `__getattr__` finds the same
    from unet_helpers import checkpoint as checkpoint
    from unet_helpers import data as data
    from unet_helpers import evaluation as evaluation
    from unet_helpers import exercises as exercises
    from unet_helpers import inference as inference
    from unet_helpers import inspector as inspector
    from unet_helpers import losses as losses
    from unet_helpers import metrics as metrics
    from unet_helpers import model as model
    from unet_helpers import phantom as phantom
    from unet_helpers import plotting as plotting
    from unet_helpers import pretrained as pretrained
    from unet_helpers import training as training
    from unet_helpers import transforms as transforms
    from unet_helpers.checkpoint import load_checkpoint, store_threshold
    from unet_helpers.data import (
        find_pairs,
        load_arrays,
        load_pair,
        open_dataset,
        split_by_group,
        stone_strata,
    )
    from unet_helpers.evaluation import choose_grey_threshold, choose_threshold, evaluate, score_masks
    from unet_helpers.inference import predict, predict_all
    from unet_helpers.inspector import Inspector
    from unet_helpers.losses import bce_dice_loss, bce_loss, dice_loss
    from unet_helpers.metrics import dice, iou, pooled_dice, predicted_mask
    from unet_helpers.model import UNet
    from unet_helpers.plotting import contact_sheet, overlay, plot_history
    from unet_helpers.pretrained import load_pretrained
    from unet_helpers.training import TrainConfig, choose_device, fit, run_status
    from unet_helpers.transforms import PatchSampler, augment, normalise

__version__ = "1.0.0"

__all__ = [
    "Inspector",
    "PatchSampler",
    "TrainConfig",
    "UNet",
    "augment",
    "bce_dice_loss",
    "bce_loss",
    "choose_device",
    "choose_grey_threshold",
    "choose_threshold",
    "contact_sheet",
    "dice",
    "dice_loss",
    "evaluate",
    "find_pairs",
    "fit",
    "iou",
    "load_arrays",
    "load_checkpoint",
    "load_pair",
    "load_pretrained",
    "normalise",
    "open_dataset",
    "overlay",
    "plot_history",
    "pooled_dice",
    "predict",
    "predict_all",
    "predicted_mask",
    "run_status",
    "score_masks",
    "split_by_group",
    "stone_strata",
    "store_threshold",
]

_NAMES_OF = {  # the tour: each module of the core, in the order in which to read them
    "data": ("open_dataset", "find_pairs", "stone_strata", "split_by_group", "load_pair", "load_arrays"),
    "transforms": ("normalise", "augment", "PatchSampler"),
    "model": ("UNet",),
    "losses": ("bce_loss", "dice_loss", "bce_dice_loss"),
    "metrics": ("dice", "iou", "pooled_dice", "predicted_mask"),
    "inference": ("predict", "predict_all"),
    "checkpoint": ("load_checkpoint", "store_threshold"),
    "training": ("choose_device", "TrainConfig", "fit", "run_status"),
    "evaluation": ("choose_threshold", "choose_grey_threshold", "score_masks", "evaluate"),
    "plotting": ("overlay", "contact_sheet", "plot_history"),
    "inspector": ("Inspector",),
    "pretrained": ("load_pretrained",),  # the only room with a name among them
}
_HOME_OF = {name: module for module, names in _NAMES_OF.items() for name in names}
_MODULES = {*_NAMES_OF, "exercises", "phantom"}

if not TYPE_CHECKING:  # so that a misspelt name is still an error there

    def __getattr__(name: str) -> Any:
        """Load a name, or a module, when it is first asked for (PEP 562)."""
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        return value

    def __dir__() -> list[str]:
        """All that can be asked for, loaded or not."""
        return sorted({*globals(), *__all__, *_MODULES})
