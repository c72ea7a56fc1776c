"""`ttrb soak`: does training survive whatever may happen to it on this machine?"""

import sys

from ttr_backbones.cli import main

if __name__ == "__main__":
    sys.exit(main(["soak", *sys.argv[1:]]))
