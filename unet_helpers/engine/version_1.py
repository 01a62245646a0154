"""Checkpoints of version 1, which knew neither the class of their network nor their images."""

from __future__ import annotations

from typing import Any

from unet_helpers.checkpoint import FORMAT, UNET, VERSION

__all__ = ["from_version_1"]


def from_version_1(state: dict[str, Any]) -> dict[str, Any]:
    """A state of version 1 with what version 2 added."""
    settings = state.get("model_settings")
    network = UNET
    if isinstance(settings, dict):
        network = settings.get("network", UNET)
        settings = {name: value for name, value in settings.items() if name != "network"}
        if "depth" in settings:
            settings = {"unshuffle": 1, **settings}  # the first ones did not fold pixels into channels
    images: dict[str, list[str]] = {"train": [], "val": []}
    new = {"network": network, "model_settings": settings, "images": images}
    if state.get("average"):  # the first ones trained a moving average beside the weights, and used that
        new["model"] = state["average"]
    return {**state, **new, "format": FORMAT, "version": VERSION}
