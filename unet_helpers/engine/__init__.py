"""What keeps a training fast and safe: settings, saved state, several GPUs, files, progress."""
