"""A stand-in for Colab's own package: the few functions that lessons use, as they behave there."""

from google.colab import drive, files, output

__all__ = ["drive", "files", "output"]
