"""Whether Colab still has the versions that `python3 tutorial.py test --colab` installs.

    python tests/colab_today.py LIST

LIST is what `pip freeze` says in Colab; Colab publishes it, and a weekly job of .github/workflows/tests.yml
fetches it. Exit code 1, and a line for each package, if the first two numbers of a version differ. Then write
the new ones into `COLAB` of tests/colab/environment.py and run that test: what it finds, readers would have.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from colab.environment import COLAB


def versions(freeze: str) -> dict[str, str]:
    """Name -> version out of pip's list; wheels that came from an address have it in their file's name."""
    found = dict(re.findall(r"^([\w.-]+)==(\S+)", freeze, flags=re.MULTILINE))
    found |= dict(re.findall(r"^([\w.-]+) @ \S+/[\w.]+-(\d[\w.]*)", freeze, flags=re.MULTILINE))
    return {name.lower(): version for name, version in found.items()}


def changes(freeze: str, ours: tuple[str, ...] = COLAB) -> list[str]:
    """A line for each of our pins that Colab's list no longer has, to the second number."""
    there = versions(freeze)
    lines = []
    for pin in ours:
        name, version = pin.split("==")
        now = there.get(name, "none")
        if now.split(".")[:2] != version.split(".")[:2]:
            lines.append(f"{name}: Colab has {now}, we test {version}")
    return lines


if __name__ == "__main__":
    different = changes(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print("\n".join(different) or "Colab has the versions that are tested.")
    sys.exit(1 if different else 0)
