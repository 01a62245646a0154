"""Other networks to compare the lessons' U-Net with."""
