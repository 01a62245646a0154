"""What the tissues measure in Hounsfield units (HU), and the layers of tissue that fill a solid.

Air measures -1000 HU, water 0 HU. Every person draws a number of their own for each tissue, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from numpy.random import Generator


class Tissue(NamedTuple):
    """A kind of matter, and between which numbers it lies in different people."""

    name: str
    low_hu: float
    high_hu: float


SKIN = Tissue("skin", 10, 30)
FAT = Tissue("fat", -114, -100)
SEPTA = Tissue("septa", -55, -35)  # sheets of connective tissue in the fat below the skin
STRANDS = Tissue("strands", -40, -10)  # small vessels and sheets in the fat between the bowels
SINUS_FAT = Tissue("sinus fat", -87, -73)  # around the calyces of a kidney
MUSCLE = Tissue("muscle", 32, 62)
MARBLING = Tissue("marbling", -40, -20)  # fat between the fibres of a muscle
LUNG = Tissue("lung", -880, -860)
LIVER = Tissue("liver", 34, 72)
SPLEEN = Tissue("spleen", 36, 60)
WATER = Tissue("water", 0, 14)  # bile, urine, cysts
BLOOD = Tissue("blood", 38, 50)
WALL = Tissue("wall", 30, 44)  # of hollow organs
DISC = Tissue("disc", 80, 125)
FOOD = Tissue("food", 0, 50)
FOOD_AIR = Tissue("air in food", -360, -340)
STOOL = Tissue("stool", -10, 30)
STOOL_GAS = Tissue("gas in stool", -520, -480)
STOOL_GRAINS = Tissue("grains in stool", 250, 700)  # pills, seeds: bright, small, and no stones
GAS = Tissue("gas", -950, -930)
FOLDS = Tissue("folds", 20, 40)  # of the bowel's wall, that reach into its gas
BOWEL_FLUID = Tissue("bowel fluid", 20, 34)
BOWEL_GAS = Tissue("bowel gas", -720, -680)
ORAL_CONTRAST = Tissue("oral contrast", 60, 280)  # drunk before the scan
CORTEX = Tissue("cortex", 28, 46)  # the outer part of a kidney
MEDULLA = Tissue("medulla", 27, 41)  # its inner part
DENSE_BONE = Tissue("dense bone", 400, 1000)  # its shell
SPONGY_BONE = Tissue("spongy bone", 140, 260)
SPONGY_RIB = Tissue("spongy rib", 120, 400)
CHALK = Tissue("chalk", 250, 1200)  # calcified vessels and lymph nodes
METAL = Tissue("metal", 2400, 2600)

Grain = Literal["fine", "mid", "coarse", "streak"]
GRAINS_MM: dict[Grain, tuple[float, float]] = {  # coarseness of the textures along z and x
    "fine": (0.8, 0.8),
    "mid": (2.1, 2.1),
    "coarse": (7.2, 7.2),
    "streak": (4.2, 0.7),  # along the body
}


@dataclass(frozen=True)
class Layer:
    """A layer of a filling: a tissue from some depth below the surface of a solid to its middle."""

    tissue: Tissue
    inset_mm: float = 0.0  # depth at which it begins
    soft_mm: float = 1.0  # width of its edge
    opacity: float = 1.0  # how much of the layers below it hides
    grain: Grain = "mid"  # its texture, a field of mean 0 and standard deviation 1
    vary_hu: float = 0.0  # by how much its HU follow the texture
    patch_above: float | None = None  # only in patches, where the texture exceeds this


FILLINGS: dict[str, list[Layer]] = {  # from the surface inwards; the order is that of the draws
    "body": [
        Layer(SKIN),
        Layer(FAT, inset_mm=2.2, vary_hu=5),
        Layer(SEPTA, inset_mm=6, opacity=0.25, grain="streak", patch_above=1.2),
    ],
    "layered wall": [  # three flat muscles of the belly with fat between them
        Layer(MUSCLE),
        Layer(FAT, inset_mm=5.5, soft_mm=0, opacity=0.5),
        Layer(MUSCLE, inset_mm=6.6, soft_mm=0),
        Layer(FAT, inset_mm=10.7, soft_mm=0, opacity=0.4),
        Layer(MUSCLE, inset_mm=11.5),
    ],
    "fat": [
        Layer(FAT, grain="coarse", vary_hu=10),
        Layer(STRANDS, soft_mm=2, opacity=0.5, patch_above=0.6),
    ],
    "muscle": [
        Layer(MUSCLE, soft_mm=0.5, vary_hu=3),
        Layer(MARBLING, inset_mm=2, opacity=0.4, grain="streak", patch_above=0.9),
    ],
    "lung": [Layer(MUSCLE), Layer(LUNG, inset_mm=3, soft_mm=2, vary_hu=25)],
    "sinus": [Layer(SINUS_FAT, vary_hu=18)],
    "liver": [Layer(LIVER, grain="coarse", vary_hu=2)],
    "spleen": [Layer(SPLEEN, grain="coarse", vary_hu=2)],
    "bile": [Layer(MUSCLE), Layer(WATER, inset_mm=2)],
    "blood": [Layer(BLOOD)],
    "gut": [Layer(WALL, vary_hu=7)],
    "oral contrast": [Layer(WALL), Layer(ORAL_CONTRAST, inset_mm=2.4, soft_mm=4)],
    "disc": [Layer(DISC, vary_hu=8)],
    "chalk": [Layer(CHALK)],
    "meal": [
        Layer(MUSCLE),
        Layer(FOOD, inset_mm=3, grain="fine", vary_hu=18),
        Layer(FOOD_AIR, inset_mm=5, soft_mm=0, opacity=0.8, grain="fine", patch_above=1.7),
    ],
    "stool": [
        Layer(WALL),
        Layer(STOOL, inset_mm=2.2, soft_mm=0.5, grain="fine", vary_hu=25),
        Layer(STOOL_GAS, inset_mm=3, opacity=0.7, patch_above=1.3),
        Layer(STOOL_GRAINS, inset_mm=3, soft_mm=0.5, grain="fine", patch_above=3.2),
    ],
    "gas": [
        Layer(WALL),
        Layer(GAS, inset_mm=2),
        Layer(FOLDS, inset_mm=2.4, soft_mm=0, grain="coarse", patch_above=0.8),
    ],
    "fluid": [
        Layer(MUSCLE, vary_hu=4),
        Layer(BOWEL_FLUID, inset_mm=2.6, soft_mm=0.5, vary_hu=5),
        Layer(BOWEL_GAS, inset_mm=5, soft_mm=0, patch_above=2),
    ],
    "kidney": [
        Layer(CORTEX, vary_hu=2),
        Layer(MEDULLA, inset_mm=8, soft_mm=4, opacity=0.6, grain="coarse", vary_hu=6),
    ],
    "metal": [Layer(METAL)],
    "calyx": [Layer(WATER)],
    "pelvis": [Layer(WATER)],
    "ureter": [Layer(WALL), Layer(WATER, inset_mm=1.3)],
    "bone": [
        Layer(DENSE_BONE, soft_mm=0.2),
        Layer(SPONGY_BONE, inset_mm=2, soft_mm=0.8, grain="fine", vary_hu=36),
        Layer(DENSE_BONE, inset_mm=4, soft_mm=9, opacity=0.25, patch_above=1),
    ],
    "rib": [
        Layer(DENSE_BONE, soft_mm=0.2),
        Layer(SPONGY_RIB, inset_mm=2, soft_mm=0.8, grain="fine", vary_hu=36),
    ],
}
CHOICES: dict[str, list[str]] = {  # fillings that differ from person to person; twice is twice as likely
    "colon": ["stool", "gas"],
    "loop": ["gas", "fluid", "oral contrast"],
    "stomach": ["meal", "meal", "oral contrast"],
    "wall": ["layered wall", "muscle"],
}
DYE_SHARES = {"blood": 1.0, "kidney": 0.9, "spleen": 0.6, "liver": 0.5}  # of a contrast agent's HU


class Coat(NamedTuple):
    """A layer with the HU of one person."""

    hu: float
    layer: Layer


def draw_coats(rng: Generator, dye_hu: float) -> dict[str, list[Coat]]:
    """The coats of every filling in one person.

    Args:
        rng: Source of chance.
        dye_hu: By how much a contrast agent brightens blood; 0 without one.

    Returns:
        Coats by the name of the filling, or of the choice among fillings.
    """
    hu_of: dict[Tissue, float] = {}
    coats: dict[str, list[Coat]] = {}
    for name, layers in FILLINGS.items():
        coats[name] = []
        for layer in layers:
            drawn = rng.uniform(layer.tissue.low_hu, layer.tissue.high_hu)
            hu = hu_of.setdefault(layer.tissue, drawn)  # the first counts; the others are drawn in vain
            coats[name].append(Coat(hu + dye_hu * DYE_SHARES.get(name, 0.0), layer))
    for name, options in CHOICES.items():
        coats[name] = coats[str(rng.choice(options))]
    return coats
