"""The lessons' pipeline without a notebook: `python -m unet_helpers --help`."""
