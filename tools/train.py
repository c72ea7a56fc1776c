"""`ttrb train` at the place where users of OpenMMLab look for it."""

import sys

from ttr_backbones.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
