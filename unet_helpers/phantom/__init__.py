"""A synthetic coronal CT with kidney stones: from a seed, a person; from a depth, a picture and its mask.

The way from a seed to a picture, module by module:

1. `space`    what is only a person's own (fatness, the bend of the spine), and how they lie in the scanner;
2. `tissues`  what each tissue measures in Hounsfield units (HU), and which layers of tissue fill an organ;
3. `organs`   tables of organs: name, filling, and a ball or a tube in mm, with how much people differ;
4. `shapes`   balls and tubes as signed distances: how deep does a point lie below the surface?
5. `anatomy`  builds the tables, and the ribs, spine and lungs beside them, in the order of painting;
6. `stones`   lays stones into calyces, pelves and ureters, and measures them;
7. `patient`  does all of this for one seed: `make_patient`;
8. `depths`   chooses where the patient is cut: `slice_depths`;
9. `scanner`  paints a cut, outlines the stones, blurs, adds noise: `render`; `data.window` maps HU to grey;
10. `dataset` writes pictures, masks and tables of many patients: `write_dataset`.

To add a structure, say a gallstone, it takes a filling and a line in a table:

>>> from unet_helpers.phantom import organs, tissues
>>> tissues.FILLINGS["gallstone"] = [tissues.Layer(tissues.Tissue("gallstone", 80, 250))]
>>> organs.ABDOMEN.append(organs.Organ("gallstone", "gallstone", organs.Ball((-56, 55, 18), radii=5)))

Now every `make_patient` draws one. To keep it, write both lines into their tables and raise VERSION.
"""

from unet_helpers.data import window
from unet_helpers.phantom.dataset import write_dataset
from unet_helpers.phantom.depths import MOST_SLICES, slice_depths
from unet_helpers.phantom.patient import Patient, make_patient
from unet_helpers.phantom.scanner import ShownStone, Slice, render
from unet_helpers.phantom.stones import Stone

__all__ = [
    "MOST_SLICES",
    "VERSION",
    "Patient",
    "ShownStone",
    "Slice",
    "Stone",
    "make_patient",
    "render",
    "slice_depths",
    "window",
    "write_dataset",
]

VERSION = 3  # raise it with every change of what is written, so that new data get a folder of their own
