import json

import numpy as np
import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.evaluation import box_iou, corloc


def iou_in_pixels(first, second):
    """IoU of integer boxes by counting pixels."""
    drawn = np.zeros((2, 40, 40), dtype=bool)
    for canvas, (x1, y1, x2, y2) in zip(drawn, (first, second), strict=True):
        canvas[y1:y2, x1:x2] = True
    return (drawn[0] & drawn[1]).sum() / (drawn[0] | drawn[1]).sum()


def random_boxes(rng, count):
    corners = rng.integers(0, 20, (count, 2))
    return np.concatenate([corners, corners + rng.integers(1, 20, (count, 2))], axis=1)


def test_iou__counts_pixels():
    rng = np.random.default_rng(0)
    first, second = random_boxes(rng, 200), random_boxes(rng, 200)
    expected = [iou_in_pixels(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(box_iou(first, second), expected, rtol=1e-12)


def test_iou__of_boxes_without_area_is_zero():
    assert box_iou([3, 3, 3, 3], [3, 3, 3, 3]) == 0
    assert box_iou([3, 3, 3, 9], [0, 0, 9, 9]) == 0


def test_corloc__exactly_half_counts():
    assert corloc([[0, 0, 10, 5]], [[[0, 0, 10, 10]]]) == 100
    assert corloc([[0, 0, 10, 5]], [[[0, 0, 10, 10.001]]]) == 0
    # With "+ 1" on each side, 10 x 5 and 11 x 10 pixels would become 11 x 6 and 12 x 11: a match.
    assert corloc([[0, 0, 10, 5]], [[[0, 0, 11, 10]]]) == 0


def test_corloc__any_true_box_and_any_predicted_box_is_enough():
    near, far = [0, 0, 10, 10], [50, 50, 60, 60]
    pred = [torch.tensor(near), np.array([near]), [near, far], np.zeros((0, 4))]
    gt = [torch.tensor([far, near]), [far], torch.tensor([[49, 50, 60, 60]]), [near]]
    assert corloc(pred, gt) == 50


def test_corloc__equals_a_loop_over_images_and_boxes():
    rng = np.random.default_rng(1)
    pred = [random_boxes(rng, rng.integers(0, 4)) for _ in range(300)]
    gt = [random_boxes(rng, rng.integers(1, 6)) for _ in range(300)]
    found = [
        any(iou_in_pixels(p, g) >= 0.3 for p in ps for g in gs)
        for ps, gs in zip(pred, gt, strict=True)
    ]
    assert 0.1 < np.mean(found) < 0.9
    assert corloc(pred, gt, threshold=0.3) == pytest.approx(100 * np.mean(found))


def test_corloc__of_the_published_boxes(shared):
    pred = json.loads((shared / "data/lost/lost_voc07_dino_vits16_boxes.json").read_text())
    gt = {}
    for line in (shared / "data/lost/voc07_trainval_boxes.txt").read_text().splitlines():
        name, *numbers = line.split()
        # VOC counts from 1 and includes the last pixel: x1 and y1 are lowered, x2 and y2 are not.
        gt[name] = np.array(numbers, dtype=float).reshape(-1, 5)[:, :4] - [1, 1, 0, 0]
    assert len(gt) == len(pred) == 5011
    assert round(corloc([pred[name] for name in gt], list(gt.values())), 2) == 61.90


@pytest.mark.parametrize(
    ("pred", "gt", "message"),
    [
        ([], [], "got 0 and 0 of them"),
        ([[0, 0, 1, 1]], [], "got 1 and 0 of them"),
        ([[0, 0, 1, 1]] * 2, [[[0, 0, 1, 1]], []], "1 of 2 images have no true box.* image 1"),
        ([[0, 0, 1]], [[0, 0, 1, 1]], r"pred_boxes\[0\] has shape \[3\]"),
        ([[0, 0, 1, 1]], [[[5, 0, 1, 1]]], r"gt_boxes\[0\] holds an inverted box"),
        ([[0, 0, float("nan"), 1]], [[0, 0, 1, 1]], "x1 <= x2"),
    ],
    ids=["nothing", "unequal", "no truth", "no box", "inverted", "nan"],
)
def test_corloc__refuses(pred, gt, message):
    with pytest.raises(InputError, match=message):
        corloc(pred, gt)
