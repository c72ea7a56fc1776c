import numpy as np
import pytest
import torch

from ttr_backbones.attention_masks import foreground
from ttr_backbones.errors import InputError
from ttr_backbones.evaluation import ForegroundMetric, average_precision, foreground_scores
from ttr_backbones.evaluation.image_parts import MeanIoU


def sorted_out(scores, truth):
    """Average precision by its definition: a threshold at every score that occurs."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = scores >= threshold
        hits = (taken & truth).sum()
        total += (hits / truth.sum() - recall) * hits / taken.sum()
        recall = hits / truth.sum()
    return total


def test_average_precision__is_its_definition_with_equal_scores():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 7, (4, 40)) / 7
    truth = rng.random((4, 40)) < 0.4
    found = average_precision(torch.from_numpy(scores), torch.from_numpy(truth))
    expected = [sorted_out(s, t) for s, t in zip(scores, truth, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert average_precision(torch.rand(1, 5), torch.zeros(1, 5, dtype=torch.bool)).item() == 0


def test_foreground__by_hand():
    """2 x 2: below 0 counts as 0, stretched to 0..1, above the mean; without a range: nothing."""
    maps = torch.tensor([[[-1.0, 1.0], [2.0, 4.0]], [[3.0, 3.0], [3.0, 3.0]]])
    mask, scores = foreground(maps)
    assert mask[0].tolist() == [[False, False], [True, True]]  # mean (0 + .25 + .5 + 1) / 4
    assert scores[0, 1].tolist() == [[0, 0.25], [0.5, 1]]
    assert scores[0, 0].tolist() == [[1, 0.75], [0.5, 0]]
    assert not mask[1].any()
    assert scores[1].abs().sum() == 0


def test_metric__by_hand_and_of_any_batches():
    """Two images of 2 x 2.

    The first: foreground predicted at 2 places, one of them right, and none missed: IoU 1/2, of the
    background 2/3. The second: all background, which 3 of 4 are: 0/1 and 3/4. Together: (1/3 + 5/7)
    / 2, 6 of 8 pixels.
    """
    truth = torch.tensor([[[0, 0], [0, 1]], [[0, 1], [0, 0]]]).bool()
    masks, scores = foreground(torch.tensor([[[0.0, 1.0], [2.0, 4.0]], [[3.0, 3.0], [3.0, 3.0]]]))
    found = foreground_scores(masks, scores, truth)
    assert found.correct.tolist() == [3, 3]
    assert found.intersection.tolist() == [[2, 1], [3, 0]]
    assert found.union.tolist() == [[3, 2], [4, 1]]
    # Of the first, ranked: 1 (true), 1 (true), .75 (true), .5 (true) .5, .25, 0, 0. Of the second
    # all eight are equal, and half of them are true.
    assert found.average_precision.tolist() == pytest.approx([(3 + 4 / 5) / 4, 0.5])
    samples = [
        {"gt_mask": t, "pred_mask": m, "pred_scores": s}
        for t, m, s in zip(truth, masks, scores, strict=True)
    ]
    for size in (1, 2):
        metric = ForegroundMetric()
        for start in range(0, 2, size):
            metric.process({}, samples[start : start + size])
        sums = MeanIoU().of_results(metric.results).sum(axis=0)
        assert MeanIoU().score(sums) == pytest.approx(100 * (1 / 3 + 5 / 7) / 2)
        assert metric.evaluate(2) == {
            "mIoU": round(100 * (1 / 3 + 5 / 7) / 2, 3),
            "pixel_accuracy": 75.0,
            "mAP": 72.5,
            "images": 2.0,
        }
    with pytest.raises(InputError, match="has no true mask"):
        metric.process({}, [{"img_path": "a"}])
