"""`python -m unet_helpers`"""

import sys

from unet_helpers.cli import main

if __name__ == "__main__":
    sys.exit(main())
