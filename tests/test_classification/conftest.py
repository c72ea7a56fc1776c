"""Small class folders of drawn shapes, and a tiny random ViT in a file."""

import cv2
import numpy as np
import pytest
import timm
import torch

SIZE = {"img_size": 224, "depth": 4, "embed_dim": 32, "num_heads": 2, "init_values": 1.0}
CLASSES = {"blue": (230, 60, 40), "green": (40, 220, 60), "red": (50, 40, 230)}  # BGR


@pytest.fixture(scope="session")
def class_folders(tmp_path_factory):
    """Discs of three colours on noise: 5 of each class in train/, 3 in val/."""
    root, rng = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 3)):
        for name, colour in CLASSES.items():
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
                centre = tuple(map(int, rng.integers(25, 40, 2)))
                cv2.circle(image, centre, 18, colour, -1)
                cv2.imwrite(str(root / split / name / f"{number}.png"), image)
    return root


@pytest.fixture(scope="session")
def tiny_vit():
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", num_classes=0, **SIZE).eval()


@pytest.fixture(scope="session")
def options(tiny_vit, tmp_path_factory):
    """Options of `--cfg-options` that put the tiny ViT into a protocol, and no workers."""
    file = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.save(tiny_vit.state_dict(), file)
    loaders = ("train_dataloader", "val_dataloader", "test_dataloader")
    return {
        "model.backbone.model": "vit_tiny_patch16_224",
        "model.backbone.pretrained": False,
        "model.backbone.checkpoint": str(file),
        "model.backbone.model_kwargs": {**SIZE, "num_classes": 0},
        **{f"{loader}.num_workers": 0 for loader in loaders},
        **{f"{loader}.persistent_workers": False for loader in loaders},
    }


@pytest.fixture(scope="session")
def as_arguments():
    def arguments(options):
        return ["--cfg-options", *(f"{key}={value!r}" for key, value in options.items())]

    return arguments
