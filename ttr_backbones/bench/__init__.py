"""How fast this package is, measured beside what it competes with."""

from ttr_backbones.compat import prepare_torchvision

prepare_torchvision()  # timm imports torchvision, which may not fit a CPU-only torch
