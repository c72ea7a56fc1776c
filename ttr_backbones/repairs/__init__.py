"""What can be done to a ViT whose features have artifacts: a `Repair` per module of this package.

artifact = fit_repair("test_time", vit, images)
artifact.save("s.safetensors")
apply_repair(vit, load_repair("s.safetensors"))
remove_repair(vit)
"""

import importlib
import pkgutil

from ttr_backbones.compat import prepare_torchvision

prepare_torchvision()  # timm imports torchvision, which may not fit a CPU-only torch

from ttr_backbones.repairs.artifact import Artifact  # noqa: E402
from ttr_backbones.repairs.registry import (  # noqa: E402
    REPAIRS,
    apply_repair,
    describe_repair,
    example_artifact,
    fit_repair,
    load_repair,
    register_repair,
    remove_repair,
    repair_named,
    repair_of,
)
from ttr_backbones.repairs.repair import Repair  # noqa: E402

for _module in pkgutil.iter_modules(__path__):  # a new repair is known by lying here
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "REPAIRS",
    "Artifact",
    "Repair",
    "apply_repair",
    "describe_repair",
    "example_artifact",
    "fit_repair",
    "load_repair",
    "register_repair",
    "remove_repair",
    "repair_named",
    "repair_of",
]
