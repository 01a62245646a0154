"""Google Drive: the folder that the environment variable STUB_DRIVE names, which outlives the machine."""

import os
from pathlib import Path

__all__ = ["flush_and_unmount", "mount"]


def mount(
    mountpoint: str, force_remount: bool = False, timeout_ms: int = 120000, readonly: bool = False
) -> None:
    """Make Drive a folder of the machine, with `MyDrive` in it.

    Raises:
        ValueError: As Colab does, if the folder holds files already, or its name holds a space.
    """
    if " " in mountpoint:
        raise ValueError("Mountpoint must not contain a space.")
    place, drive = Path(mountpoint), Path(os.environ["STUB_DRIVE"])
    if place.is_symlink() and not force_remount:
        print(
            f"Drive already mounted at {mountpoint}; to attempt to forcibly remount, call "
            f'drive.mount("{mountpoint}", force_remount=True).'
        )
        return
    if place.is_dir() and not place.is_symlink() and any(place.iterdir()):
        raise ValueError("Mountpoint must not already contain files")
    flush_and_unmount(mountpoint)
    (drive / "MyDrive").mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(drive, target_is_directory=True)
    print(f"Mounted at {mountpoint}")


def flush_and_unmount(mountpoint: str = "/content/drive", timeout_ms: int = 24 * 60 * 60 * 1000) -> None:
    """Take the folder away; what lies on Drive stays."""
    place = Path(mountpoint)
    if place.is_symlink():
        place.unlink()
    elif place.is_dir():
        place.rmdir()
