import json

import pytest
import torch
from mmseg.registry import METRICS

from ttr_backbones.datasets import BoxSample
from ttr_backbones.errors import InputError
from ttr_backbones.evaluation import CorLocMetric


def sample(path, box, gt=None, collapsed=None):
    """A sample as the evaluator passes it on."""
    packed = BoxSample(metainfo={"img_path": str(path)}, pred_box=torch.tensor(box))
    if gt is not None:
        packed.gt_boxes = torch.tensor(gt, dtype=torch.float32)
    if collapsed is not None:
        packed.collapsed = collapsed
    return packed.to_dict()


HIT = sample("/data/a/1.jpg", [0, 0, 10, 5], [[0, 0, 10, 10], [50, 50, 60, 60]])
MISS = sample("/data/b/1.jpg", [0, 0, 10, 5], [[0, 0, 10, 11]], collapsed=True)
BLIND = sample("/data/c.jpg", [1, 2, 3, 4])


def evaluate(samples, batch_size=1, **kwargs):
    metric = METRICS.build({"type": "CorLocMetric", **kwargs})
    for start in range(0, len(samples), batch_size):
        metric.process(None, samples[start : start + batch_size])
    return metric.evaluate(len(samples))


def test_metric__counts_hits_images_and_collapses():
    assert evaluate([HIT, MISS, MISS]) == {"CorLoc": 33.33, "images": 3, "collapsed": 2}
    assert evaluate([HIT, MISS, MISS], batch_size=2) == evaluate([HIT, MISS, MISS])
    assert evaluate([HIT, MISS], iou=0.4)["CorLoc"] == 100
    # mmengine writes the whole numbers of a metric into its JSON log as null.
    assert all(isinstance(value, float) for value in evaluate([HIT, MISS]).values())


def test_metric__drops_what_a_sampler_repeats_to_fill_the_last_batch():
    metric = CorLocMetric()
    metric.process(None, [HIT, MISS, HIT])
    assert metric.evaluate(2) == {"CorLoc": 50.0, "images": 2, "collapsed": 1}


def test_metric__without_ground_truth_has_no_corloc():
    assert evaluate([BLIND]) == {"images": 1, "collapsed": 0}


def test_metric__with_half_a_ground_truth():
    with pytest.raises(InputError, match="1 of 2 images have no true box"):
        evaluate([HIT, BLIND])


def test_metric__saves_boxes_under_names_that_stay_apart(tmp_path):
    file = tmp_path / "new" / "found.json"
    evaluate([HIT, MISS, BLIND][:2], output_file=str(file))
    assert json.loads(file.read_text()) == {"a/1.jpg": [0, 0, 10, 5], "b/1.jpg": [0, 0, 10, 5]}
    evaluate([BLIND], output_file=tmp_path / "new")
    assert json.loads((tmp_path / "new" / "boxes.json").read_text()) == {"c.jpg": [1, 2, 3, 4]}
    assert sorted(path.name for path in file.parent.iterdir()) == ["boxes.json", "found.json"]
