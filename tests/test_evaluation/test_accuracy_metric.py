import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.evaluation import AccuracyMetric, KnnMetric


def test_accuracy__by_hand(tmp_path):
    """Of four images one is right at once, two among the best five, one never."""
    metric = AccuracyMetric(output_file=tmp_path)
    metric.dataset_meta = {"classes": tuple("abcdef")}
    best = torch.tensor([3, 1, 0, 2, 4])
    samples = [
        {"img_path": f"/images/{n}.png", "gt_label": truth, "pred_classes": best}
        for n, truth in enumerate((3, 4, 1, 5))
    ]
    metric.process({}, samples[:3])
    metric.process({}, samples[3:])
    assert metric.evaluate(4) == {"top1": 25.0, "top5": 75.0}
    assert '"0.png": "d"' in (tmp_path / "classes.json").read_text()
    metric.dataset_meta = {"classes": tuple("abcde")}
    metric.process({}, samples[:1])
    assert metric.evaluate(1) == {"top1": 100.0}, "five of five classes say nothing"
    with pytest.raises(InputError, match="has no true class"):
        metric.process({}, [{"img_path": "a.png", "pred_classes": best}])


def test_knn__names_the_best_k():
    metric = KnnMetric()
    answers = ({1: 0, 5: 2}, {1: 1, 5: 1}, {1: 0, 5: 2})
    metric.process({}, [{"gt_label": n, "pred_by_k": a} for n, a in enumerate(answers)])
    assert metric.evaluate(3) == {
        "top1": 66.667,
        "best_k": 1.0,
        "top1_k1": 66.667,
        "top1_k5": 66.667,
    }
