import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from ttr_backbones.datasets import BoxSample
from ttr_backbones.tasks.drawing.boxes import FOUND, SEED, TRUE, draw_boxes


def make_sample(**changes):
    """An image of 320 x 240 pixels, patches of 16: the seed in row 2, column 3."""
    degrees = torch.full((15, 20), 200)
    degrees[2, 3] = 7
    fields = {
        "gt_boxes": torch.tensor([[160.0, 120, 320, 240]]),
        "pred_box": torch.tensor([0, 0, 160, 120]),
        "seed": 2 * 20 + 3,
        "degrees": degrees,
        "collapsed": False,
        "patch_size": (16, 16),
    } | changes
    return BoxSample(metainfo={"img_path": "a.jpg", "img_shape": (240, 320)}, **fields)


def draw(sample, size=(240, 320), title="a.jpg"):
    return draw_boxes(np.full((*size, 3), 90, dtype=np.uint8), sample, title=title)


def extent(picture, style):
    """x1, y1, x2, y2 of a colour's pixels in the left panel, legend and titles aside."""
    height, width = picture.shape[:2]
    empty = (picture[height // 4 : height // 2] == 255).all(axis=(0, 2))
    gutter = width // 3 + int(empty[width // 3 :].argmax())
    panel = picture[: int(height * 0.9), :gutter]
    wanted = np.array([round(255 * value) for value in to_rgb(style["color"])])
    rows, columns = np.nonzero((np.abs(panel.astype(int) - wanted) <= 1).all(axis=2))
    return None if not len(rows) else (columns.min(), rows.min(), columns.max(), rows.max())


def test_picture__shows_seed_box_and_truth_where_they_are():
    picture = draw(make_sample())
    assert picture.dtype == np.uint8
    assert 1100 <= picture.shape[1] <= 1250
    found, true, seed = (extent(picture, style) for style in (FOUND, TRUE, SEED))
    # The found box is the upper left quarter of the image, the true one the lower right.
    assert found[2:] == pytest.approx(true[:2], abs=5)
    quarter = np.subtract(found[2:], found[:2])
    assert quarter == pytest.approx(np.subtract(true[2:], true[:2]), abs=5)
    middle = np.add(seed[:2], seed[2:]) / 2
    assert middle == pytest.approx(found[:2] + quarter * [3.5 / 10, 2.5 / 7.5], abs=3)


def test_picture__of_a_resized_image_is_the_same():
    resized = make_sample(patch_size=(32, 32))
    resized.set_metainfo({"img_shape": (480, 640)})
    np.testing.assert_array_equal(draw(make_sample()), draw(resized))


def test_picture__without_ground_truth():
    sample = make_sample()
    del sample.gt_boxes
    assert extent(draw(sample), TRUE) is None
    assert extent(draw(sample), FOUND) is not None


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "IoU 0.00: missed"),
        ({"pred_box": torch.tensor([160, 120, 320, 180])}, "IoU 0.50: found"),
        ({"gt_boxes": torch.zeros(0, 4)}, "no ground truth"),
        ({"collapsed": True}, "IoU 0.00: missed (collapsed: the seed means nothing)"),
        ({"gt_boxes": torch.zeros(0, 4), "collapsed": True}, "collapsed: the seed means nothing"),
    ],
)
def test_picture__says_whether_it_was_found(monkeypatch, changes, verdict):
    titles = []
    set_title = "matplotlib.axes.Axes.set_title"
    monkeypatch.setattr(set_title, lambda self, text, **_: titles.append(text))
    draw(make_sample(**changes))
    assert titles == [f"a.jpg\n{verdict}", "inverse degree"]


@pytest.mark.parametrize(
    "degrees",
    [torch.full((15, 20), 5), torch.zeros(15, 20), torch.randn(15, 20)],
    ids=["equal degrees", "equal scores", "scores"],
)
def test_picture__of_any_scores(degrees):
    assert draw(make_sample(degrees=degrees)).std() > 0


@pytest.mark.parametrize("size", [(1000, 100), (60, 1000)], ids=["tall", "wide"])
def test_picture__of_a_narrow_image_stays_legible(size, recwarn):
    sample = make_sample(degrees=torch.full((4, 4), 3), seed=0)
    sample.set_metainfo({"img_shape": size})
    picture = draw(sample, size)
    assert 700 <= picture.shape[1] <= 1250
    assert picture.shape[0] >= 250
    assert not [str(w.message) for w in recwarn if "constrained_layout" in str(w.message)]
