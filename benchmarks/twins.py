"""How well twins are found by their pictures alone: `python benchmarks/twins.py FOLDER`, Kaggle layout."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np

from unet_helpers.data import find_pairs, load_image
from unet_helpers.folders.groups import exam_names
from unet_helpers.folders.twins import find_twins, proposed_groups, thumbnail


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="images whose names tell source and exam; the comparison ignores them")
    pairs = find_pairs(parser.parse_args().folder)
    stems = [pair.image_path.stem for pair in pairs]
    exams, sources = exam_names(stems), [stem.split(".rf.")[0] for stem in stems]
    small = np.array([thumbnail(load_image(pair.image_path)) for pair in pairs], np.float32)
    start = time.perf_counter()
    twins = find_twins(small)
    seconds = time.perf_counter() - start
    alone = [replace(pair, group=str(i)) for i, pair in enumerate(pairs)]
    groups = proposed_groups(alone, twins)
    two = list(combinations(range(len(pairs)), 2))
    known = [groups[a] == groups[b] for a, b in two if sources[a] == sources[b]]
    apart = [groups[a] == groups[b] for a, b in two if exams[stems[a]] != exams[stems[b]]]
    print(f"{len(pairs)} images compared in {seconds:.1f} s")
    print(f"twins in one group: {sum(known)} of {len(known)}")
    print(f"pairs of different exams in one group: {sum(apart)} of {len(apart)}")
    print(f"largest group: {max(Counter(groups).values())}")


if __name__ == "__main__":
    main()
