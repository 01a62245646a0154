"""Pictures composed pixel by pixel, and drawings of the network."""
