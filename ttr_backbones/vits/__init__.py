"""The ViT families: the only code that reaches inside a ViT."""

from ttr_backbones.compat import prepare_torchvision

prepare_torchvision()  # timm imports torchvision, which may not fit a CPU-only torch

# Families register themselves, the most usual one first.
from ttr_backbones.vits import plain as plain  # noqa: E402

# isort: split
from ttr_backbones.vits import eva as eva  # noqa: E402
from ttr_backbones.vits import hf as hf  # noqa: E402
