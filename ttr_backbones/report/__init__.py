"""Pictures and reports of what registers do to a model."""

from ttr_backbones.compat import prepare_torchvision

prepare_torchvision()
