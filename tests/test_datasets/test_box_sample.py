import torch

from ttr_backbones.datasets import BoxSample


def test_sample__holds_the_truth_and_what_was_found():
    sample = BoxSample(metainfo={"img_path": "a.jpg"}, gt_boxes=torch.zeros(2, 4))
    sample.pred_box, sample.seed, sample.collapsed = torch.zeros(4), 3, False
    sample.degrees, sample.patch_size = torch.zeros(2, 2), (16, 16)
    moved = sample.to(torch.float64)
    assert isinstance(moved, BoxSample)
    assert moved.pred_box.dtype == torch.float64
    assert sample.to_dict().keys() == {
        "img_path",
        *("gt_boxes", "pred_box", "seed", "degrees", "patch_size", "collapsed"),
    }
