"""What `evaluation.score_masks` and `evaluation.evaluate` return, and how it is computed.

Flat scores, one plain number each; NaN where there is nothing to stand on:

- `..._positive_mean`: means over the `n_positive` images with a stone, of `n_images`; `..._pooled`: over all
  pixels of the data set together. Of "dice", "iou", "precision" and "recall".
- `clean_negative_rate`: the share of stone-free images without any false alarm.
- `false_positives_per_image`: predicted regions that are matched with no section, over all images.
- `section_sensitivity`: the share of the `n_sections` sections (8-connected regions of the true masks) that
  `metrics.match_stones` finds; `section_sensitivity_touched`: that are touched by at least one pixel, which
  "everything is stone" brings to 1.
- `stone_sensitivity`: the share of the `n_stones` known stones that are found, each if one of its sections
  is. Where no stone is known it is NaN. `n_sections_unidentified` are sections of no known stone.
- `n_merged`: predicted regions that touch more than one section; `n_split`: sections touched by more than one
  region.

`evaluate` adds, for the images with a stone, the means of `surface_dice_1mm` (0 where nothing is predicted),
`hd95_mm` and `asd_mm` (average surface distance), these two over the `n_distances` images where something is
predicted; in the `n_distances_infinite` others they are infinite. Without a spacing the names end in `px`.
Then the settings `threshold` and `min_pixels` (lists where they differ from image to image), `n_groups`,
`unit`, and nested:

- `intervals`: 95 % interval of each ratio above, [low, high], see `intervals.bootstrap_intervals`.
- `size_bins`: what is found by true diameter, `low` <= diameter < `high` (None: no limit), with `n`,
  `n_found`, `sensitivity` and its `interval`. `of` says what is counted: "stones", by their longest extent in
  the body, where they are known, else "sections", by the circle of equal area; `unit` is that of the borders.
- `size_agreement`: see `curves.agreement`, over the sections found, with the `bias_interval`, the number of
  all outliers `n_outliers` and the farthest 10 as `outliers`, each with `image`, `row`, `column`, `true` and
  `predicted`.
- `froc`, `precision_recall`, `calibration`: see `curves`; `froc` applies `min_pixels`, holds `threshold` if
  it is one, and then passes through the scores above.
- `per_image`, `per_section`, `per_stone`: lists of dicts, in the order of the images; see
  `records.image_record`, `section_records` and `stone_records`. `per_stone` is empty where no stone is known.
"""
