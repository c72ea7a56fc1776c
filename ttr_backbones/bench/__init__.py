"""How fast this package is, measured beside what it competes with."""

from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()  # before the first import of mmseg, and of timm
