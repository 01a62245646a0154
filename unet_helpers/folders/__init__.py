"""What lies in a folder: image-mask pairs, their groups, how to split them, and where data sets come from."""
