"""What the lessons of this series share: data, U-Net, losses, metrics, training, evaluation, pictures."""

__version__ = "0.1.0"
