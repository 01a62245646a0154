"""Scores beyond Dice and IoU: counts of images, sections, stones, intervals, curves, distances, the table."""
