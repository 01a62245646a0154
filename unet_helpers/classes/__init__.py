"""Several classes at once (kidney, stone, bone): their masks, loss, scores and colours.

The engine is the same as for one class; what differs is told by the masks. A pair with `classes` gives
labels, uint8 (H, W): 0 for background, 1 to n for the classes. Where masks are bool, nothing of this room is
used.
"""
