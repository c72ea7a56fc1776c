"""`ttrb find-neurons` at the place where users of OpenMMLab look for it."""

import sys

from ttr_backbones.cli import main

if __name__ == "__main__":
    sys.exit(main(["find-neurons", *sys.argv[1:]]))
