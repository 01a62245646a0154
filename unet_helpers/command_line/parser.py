"""What may be typed after `python -m unet_helpers`; no heavy imports, so that --help answers at once."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from unet_helpers.command_line.values import amount, count, folds, level_and_width, n_classes, said
from unet_helpers.folders.mask_rules import parse_classes, parse_colours, parse_ignored, parse_values

__all__ = ["make_parser"]

# said once more here, because their homes import numpy or torch; tests/test_cli.py compares them
COMPILE_CHOICES = ("auto", "on", "off")
GROUP_BY = ("folder", "name")
FORMATS = ("coco", "yolo", "voc", "dicom", "nifti", "tiff")
AXES = ("axial", "coronal", "sagittal")
MOST_SLICES = 96

DATA_HELP = 'folder or zip with image-mask pairs, or "phantom", or "kaggle"'


def make_parser() -> argparse.ArgumentParser:
    """The parser of all sub-commands; what it returns holds the name of its module as `command`."""
    parser = argparse.ArgumentParser(
        prog="python -m unet_helpers",
        description="Kidney stone segmentation with a U-Net. Without a sub-command: the whole pipeline on "
        "the default data.",
    )
    parser.set_defaults(command="pipeline")
    commands = parser.add_subparsers(title="sub-commands", metavar="")
    for name, text, add_options in (
        ("phantom", "write synthetic CT slices with kidney stones", _phantom),
        ("convert", "make image-mask pairs of DICOM, NIfTI, pages, or COCO, YOLO and VOC outlines", _convert),
        ("check", "count pairs, exams, unpaired and broken files of a data set", _check),
        ("train", "train a U-Net and choose its threshold on the validation part", _train),
        ("evaluate", "score a trained U-Net", _evaluate),
        ("predict", "write a mask PNG and an overlay PNG for each image", _predict),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=name)
        add_options(sub)
    return parser


# ----------------------------------------------------------------------------------------- the sub-commands
def _phantom(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("out", metavar="OUT", type=Path, help="new folder")
    for name, default, text in (
        ("patients", 96, "number of patients"),
        ("slices", 8, f"slices a patient, 1 to {MOST_SLICES}"),
        ("size", 256, "side of a slice in pixels"),
    ):
        sub.add_argument(
            f"--{name}", metavar="N", type=count, default=default, help=f"{text} (default {default})"
        )
    sub.add_argument(
        "--seed", metavar="S", type=int, default=0, help="another seed gives other patients (default 0)"
    )
    sub.add_argument(
        "--classes",
        action="store_true",
        help="masks of three classes, 1 kidney, 2 stone and 3 bone, instead of stones alone",
    )


def _convert(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("source", metavar="SOURCE", type=Path, help="folder, zip or one file")
    sub.add_argument("out", metavar="OUT", type=Path, help="new folder")
    sub.add_argument("--format", choices=FORMATS, help="of SOURCE; by itself what its files tell")
    _window(sub)
    sub.add_argument(
        "--axis",
        choices=AXES,
        default="axial",
        help="which way NIfTI volumes are cut (default axial)",
    )
    sub.add_argument(
        "--class",
        metavar="NAME",
        dest="classes",
        action="append",
        help="object that is foreground, or number of a label; may be repeated; by itself all of them joined",
    )


def _check(sub: argparse.ArgumentParser) -> None:
    _data(sub)
    sub.add_argument("--json", metavar="FILE", type=Path, help="also write the report to this file")
    sub.add_argument(
        "--twins",
        metavar="OUT",
        type=Path,
        help="write OUT/groups.csv, a proposal in which images that show the same picture (mirrored, turned, "
        "cropped, compressed) share a group, and OUT/twins.jpg, which shows them",
    )


def _train(sub: argparse.ArgumentParser) -> None:
    sub.epilog = (
        "Ctrl-C saves and ends with status 130. Several GPUs share every batch: "
        "torchrun --nproc-per-node=2 -m unet_helpers train ..."
    )
    _data(sub)
    sub.add_argument("--out", metavar="RUN", type=Path, required=True, help="folder of this run")
    sub.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in RUN where it stopped, with its own settings; more --minutes, --epochs or "
        "--steps train on",
    )
    _length(sub)
    _settings(sub)
    sub.add_argument(
        "--folds",
        metavar="K",
        type=folds,
        help="cross-validation: train K networks (at least 3) into RUN/fold-1 ... fold-K, so that each group "
        "is tested once; --minutes, --epochs and --steps are for each of them",
    )
    sub.add_argument(
        "--given-split",
        action="store_true",
        help="keep the parts that folders called train, val and test name, instead of splitting by group",
    )
    _device(sub)


def _length(sub: argparse.ArgumentParser) -> None:
    """How long to train: one of three, or by itself as long as the lessons."""
    length = sub.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", metavar="M", type=amount, help="train for so many minutes, validation included"
    )
    length.add_argument(
        "--epochs",
        metavar="N",
        type=count,
        help="train for so many epochs, each of as many patches as cut all images once (images above 512 "
        "pixels count as such)",
    )
    length.add_argument(
        "--steps",
        metavar="N",
        type=count,
        help="train for so many steps of one batch (default 5500, or 10000 on a GPU)",
    )


def _settings(sub: argparse.ArgumentParser) -> None:
    """What lesson 4 tries out; not given, a run keeps its own settings, and a new one has the defaults."""
    sub.add_argument("--batch-size", metavar="N", type=count, help="patches a step (default 6)")
    sub.add_argument(
        "--patch-size", metavar="N", type=count, help="side of the square patches in pixels (default 160)"
    )
    scale = sub.add_mutually_exclusive_group()
    scale.add_argument(
        "--max-size",
        metavar="N",
        type=count,
        help="shrink longer sides to so many pixels, here and in evaluate and predict; by itself every image "
        "keeps the resolution of its file, and large ones are learnt patch by patch",
    )
    scale.add_argument(
        "--spacing",
        metavar="MM",
        type=amount,
        help="resize images so that a pixel has so many millimetres, where a slices.csv knows their spacing",
    )
    sub.add_argument(
        "--learning-rate", metavar="R", type=amount, help="highest learning rate (default 0.004)"
    )
    sub.add_argument(
        "--base-channels",
        metavar="C",
        type=count,
        help="channels at the first resolution; more learn more and cost more (default 16)",
    )
    sub.add_argument("--seed", metavar="S", type=int, help="of split, weights and patches (default 0)")
    sub.add_argument(
        "--compile",
        choices=COMPILE_CHOICES,
        help="use torch.compile; auto: on CUDA when the run is long enough to pay it back (default auto)",
    )


def _evaluate(sub: argparse.ArgumentParser) -> None:
    _data(sub)
    sub.add_argument(
        "--checkpoint",
        metavar="FILE",
        type=Path,
        required=True,
        help="best.pt of a run, or the folder of a run with --folds",
    )
    sub.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        default="test",
        help="train and val: images seen in training; test: those never seen, nor their groups; "
        "known by content, not by name (default test)",
    )
    sub.add_argument(
        "--tta",
        action="store_true",
        help="test-time augmentation: average over the image and its three mirrorings (4 x the time)",
    )
    sub.add_argument("--json", metavar="FILE", type=Path, help="also write the scores to this file")
    sub.add_argument(
        "--report",
        metavar="FILE",
        type=Path,
        help="write one HTML page with everything: scores, curves, cases and a slider",
    )
    sub.add_argument(
        "--figure", metavar="FILE", type=Path, help="draw the worst, middle and best images into this PNG"
    )
    _device(sub)


def _predict(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help='images of any size, DICOM slices, folders of them, or quoted patterns such as "scans/*.png"',
    )
    _window(sub)
    sub.add_argument(
        "--checkpoint",
        metavar="FILE",
        type=Path,
        help="best.pt of a run; by itself the weights that come with the package",
    )
    sub.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for the PNG files")
    sub.add_argument(
        "--max-size",
        metavar="N",
        type=count,
        help="shrink longer sides to so many pixels for the network; by itself as it was trained",
    )
    _device(sub)


# ------------------------------------------------------------------------- what several sub-commands have
def _data(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("data", metavar="DATA", help=DATA_HELP)
    sub.add_argument(
        "--group-by",
        choices=GROUP_BY,
        help="folder: all images of a folder are one patient; name: never; by itself folder where file names "
        "repeat",
    )
    _window(sub)
    _masks(sub)


def _window(sub: argparse.ArgumentParser) -> None:
    sub._negative_number_matcher = re.compile(r"^-[\d.]+(,-?[\d.]+)?$")  # -600,1500 is a value, and no option
    sub.add_argument(
        "--window",
        metavar="L,W",
        type=level_and_width,
        help="level and width through which images with more than 8 bits are seen, in their own units: "
        "40,400 for soft tissue in Hounsfield units",
    )


def _masks(sub: argparse.ArgumentParser) -> None:
    """What the values of the masks mean, where these do not say it themselves."""
    for option, metavar, kind, text in (
        ("--mask-values", "V", parse_values, "values of the masks that are the object: 1, or 1,2, or 1-300"),
        ("--foreground", "#RRGGBB", parse_colours, "colours of the masks that are the object: '#ff0000'"),
        ("--ignore", "V", parse_ignored, "values or colours that are neither object nor background: 255"),
        (
            "--classes",
            "NAME=V,...",
            parse_classes,
            "several classes at once, with their mask values: kidney=1,stone=2,bone=3, or colours, "
            "kidney='#00ff00'; all other values are background",
        ),
    ):
        sub.add_argument(option, metavar=metavar, type=said(kind), default=(), help=text)
    sub.add_argument(
        "--invert", action="store_true", help="the masks are inverted: the object is 0 on a bright background"
    )
    sub.add_argument(
        "--num-classes",
        metavar="N",
        type=n_classes,
        help="as --classes, for the N values that the masks hold beside 0, which are named after them",
    )


def _device(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1 or mps; by itself the fastest")
