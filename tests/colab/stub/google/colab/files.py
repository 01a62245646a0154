"""The upload button: whoever presses it chooses the file that the environment variable STUB_UPLOAD names."""

import os
from pathlib import Path

__all__ = ["download", "upload"]


def upload(target_dir: str = "") -> dict[str, bytes]:
    """Copy the chosen file into a folder; {} if the reader cancels, as where STUB_UPLOAD is not set.

    Returns:
        Name -> content. A name that is taken becomes "name (1).zip", as in Colab.
    """
    if not os.environ.get("STUB_UPLOAD"):
        return {}
    chosen = Path(os.environ["STUB_UPLOAD"])
    place, number = Path(target_dir or ".") / chosen.name, 0
    while place.exists():
        number += 1
        place = place.with_name(f"{chosen.stem} ({number}){chosen.suffix}")
    place.write_bytes(chosen.read_bytes())
    print(f"Saving {chosen.name} to {place}")
    return {str(place): chosen.read_bytes()}


def download(filename: str) -> None:
    """Hand a file to the browser.

    Raises:
        FileNotFoundError: If there is none.
    """
    if not Path(filename).exists():
        raise FileNotFoundError(f"Cannot find file: {filename}")
