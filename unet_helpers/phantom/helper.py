"""What `write_dataset` starts beside itself: python -m unet_helpers.phantom.helper JOB"""

from __future__ import annotations

import json
import os
import signal
import sys
from threading import Thread

from unet_helpers.phantom.dataset import Job, take_patients


def end_with_parent() -> None:
    """Standard input is a pipe that nobody writes to: it ends when the process at its other end does."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which then ends this process
    Thread(target=end_with_parent, daemon=True).start()
    for _ in take_patients(Job(*json.loads(sys.argv[1]))):
        pass
