"""`python -m unet_helpers`"""

import sys

from unet_helpers.command_line.main import main

if __name__ == "__main__":
    sys.exit(main())
