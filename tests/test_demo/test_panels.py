"""The answers of the demo's tasks as they are drawn: truth, quality, headline."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from ttr_backbones.datasets.scenes import make_scene, write_scenes
from ttr_backbones.demo.panels import BOXES, DEPTH, SEGMENTATION


@pytest.fixture
def scenes(tmp_path):
    return write_scenes(tmp_path, num_train=1, num_val=2, size=64, seed=3)


@pytest.fixture
def scene():
    """The second validation scene of `scenes`."""
    rng = np.random.default_rng([3, 1])
    return [make_scene(rng, 64) for _ in range(2)][1]


def test_truth_is_what_was_drawn(scenes, scene):
    np.testing.assert_array_equal(SEGMENTATION.truth(scenes, 1), scene.mask)
    np.testing.assert_allclose(DEPTH.truth(scenes, 1), scene.depth / 1000)
    np.testing.assert_array_equal(BOXES.truth(scenes, 1), scene.boxes)


def test_quality_and_headline():
    mask, truth = np.array([[0, 1], [2, 3]]), np.array([[0, 1], [2, 0]])
    assert (
        SEGMENTATION.headline(SEGMENTATION.quality(mask, truth))
        == "prediction: 75.0% of pixels right"
    )
    depth = np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]])
    assert DEPTH.quality(*depth) == pytest.approx(-np.sqrt(2))
    assert DEPTH.headline(DEPTH.quality(*depth)) == "prediction: RMSE 1.41 m"
    boxes = np.array([[0.0, 0, 4, 4], [10, 10, 12, 12]])
    assert BOXES.quality(np.array([0.0, 0, 4, 2]), boxes) == 0.5
    assert BOXES.headline(0.5) == "largest IoU with an object: 0.50"


@pytest.mark.parametrize("panel", [SEGMENTATION, DEPTH, BOXES], ids=["classes", "metres", "boxes"])
def test_draws_the_truth_and_names_its_colours(panel, scenes, scene):
    axis = Figure().subplots()
    panel.draw(axis, scene.image, panel.truth(scenes, 1))
    assert axis.images
    assert len(axis.patches) == (len(scene.boxes) if panel is BOXES else 0)
    assert all(patch.get_label() for patch in panel.legend())


def test_found_and_true_boxes_look_different(scene):
    axis = Figure().subplots()
    BOXES.draw(axis, scene.image, scene.boxes)
    BOXES.draw(axis, scene.image, scene.boxes[0])
    *true, found = axis.patches
    assert {patch.get_linestyle() for patch in true} == {"--"}
    assert found.get_linestyle() == "-"
    assert found.get_edgecolor() not in {patch.get_edgecolor() for patch in true}
