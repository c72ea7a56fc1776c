import cv2
import numpy as np
import torch
from mmseg.registry import VISUALIZERS

import ttr_backbones.tasks.drawing.box_visualizer  # noqa: F401
from ttr_backbones.datasets import BoxSample
from ttr_backbones.tasks.drawing.boxes import draw_boxes


def make_sample(path):
    return BoxSample(
        metainfo={"img_path": path, "img_shape": (32, 48)},
        pred_box=torch.tensor([0, 0, 16, 16]),
        seed=1,
        degrees=torch.arange(6).view(2, 3),
        collapsed=False,
        patch_size=(16, 16),
    )


def test_visualizer__saves_images_of_one_name_apart(tmp_path):
    visualizer = VISUALIZERS.build(
        {
            "type": "BoxVisualizer",
            "name": "test_box_visualizer",
            "vis_backends": [{"type": "LocalVisBackend"}],
            "save_dir": str(tmp_path),
        }
    )
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    for path in ("a/dog.jpg", "b/dog.jpg"):
        # As mmseg's SegVisualizationHook calls it.
        visualizer.add_datasample(
            "test_dog.jpg", image, data_sample=make_sample(path), show=False, wait_time=0, step=0
        )
    saved = sorted(tmp_path.rglob("*.png"))
    assert [path.name for path in saved] == ["test_dog.jpg_0.png", "test_dog.jpg_1.png"]
    drawn = draw_boxes(image, make_sample("b/dog.jpg"), title="dog.jpg")
    np.testing.assert_array_equal(cv2.imread(str(saved[1]))[..., ::-1], drawn)
