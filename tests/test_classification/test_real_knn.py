"""The real ViT on boxes of real COCO images: near images are of one class, register or not."""

import json
from collections import defaultdict

import cv2
import numpy as np
import pytest
import torch

from ttr_backbones.classification import KnnClassifier
from ttr_backbones.recipes import recipe

CLASSES = ("cat", "horse", "pizza", "train", "tv", "zebra")


@pytest.fixture(scope="module")
def crops(shared):
    """Images [N, 3, 128, 128] of boxes, BGR uint8, their classes, and the photograph of each."""
    root = shared / "data" / "coco"
    content = json.loads((root / "annotations" / "instances_val2017.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    files = {image["id"]: root / "val2017" / image["file_name"] for image in content["images"]}
    found = defaultdict(list)
    for box in content["annotations"]:
        x, y, w, h = map(round, box["bbox"])
        name, file = names[box["category_id"]], files[box["image_id"]]
        if name in CLASSES and min(w, h) >= 40 and not box["iscrowd"] and file.is_file():
            crop = cv2.imread(str(file))[y : y + h, x : x + w]
            crop = cv2.resize(crop, (128, 128), interpolation=cv2.INTER_AREA)
            found[name].append((torch.from_numpy(crop).permute(2, 0, 1), box["image_id"]))
    rows = [(image, CLASSES.index(name), at) for name in CLASSES for image, at in found[name]]
    images, labels, photographs = zip(*rows, strict=True)
    return torch.stack(images), torch.tensor(labels), np.array(photographs)


@pytest.mark.parametrize("repair", ["none", "ttr"])
def test_nearest__of_another_photograph_is_mostly_of_the_same_class(crops, tiny_weights, repair):
    images, labels, photographs = crops
    model = recipe("knn_imagenet", backbone="augreg_vitt16", repair=repair).model
    model.pop("type")
    model.backbone.update(pretrained=False, checkpoint=str(tiny_weights))
    knn = KnnClassifier(**{**model, "k": (1,)})
    batch = knn.data_preprocessor({"inputs": list(images)}, training=False)["inputs"]
    features = knn.embed(batch)
    similarity = features @ features.T
    similarity[torch.from_numpy(photographs[:, None] == photographs)] = -2  # its own photograph
    right = (labels[similarity.argmax(dim=1)] == labels).float().mean()
    chance = labels.bincount().max() / len(labels)
    assert len(labels) >= 20
    assert right > 2 * chance
