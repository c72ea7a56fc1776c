"""A sweep gives, from one pass, what one model for each setting gives."""

import pytest
import torch

from ttr_backbones.datasets import BoxSample
from ttr_backbones.object_discovery import ObjectDiscoverer
from ttr_backbones.object_discovery.sweep import Sweep, SweepSetting

BACKBONE = {
    "type": "TimmViT",
    "model": "vit_tiny_patch16_224",
    "model_kwargs": {"depth": 3, "embed_dim": 32, "num_heads": 2, "img_size": 64},
    "repair": {"type": "test_time", "neurons": {1: [3]}},
    "pad": "corner",
}


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    sizes = [(60, 80), (48, 48), (60, 80), (33, 70)]
    originals = [(60, 80), (96, 144), (120, 80), (33, 70)]
    images = [torch.randn(3, *size, generator=generator) for size in sizes]
    samples = [BoxSample(metainfo={"ori_shape": shape}) for shape in originals]
    for number, sample in enumerate(samples):
        sample.gt_boxes = torch.full((1, 4), float(number))
    return images, samples


def model(**options):
    torch.manual_seed(0)
    method = {key: options.pop(key) for key in ("normalize", "bias", "k") if key in options}
    return ObjectDiscoverer({**BACKBONE, **options}, {"type": "lost", **method})


def test_every_cell_equals_its_own_model(data):
    images, samples = data
    backbone, passes = model().backbone, []
    backbone.vit.patch_embed.register_forward_hook(lambda _, x, __: passes.append(len(x[0])))
    sweep = Sweep(backbone, [-1, 1], ["key", "value"], [False, True], [0.0, -0.9], k=5)
    for batch in (slice(0, 3), slice(3, 4)):
        sweep(images[batch], samples[batch])
    assert sum(passes) == len(images), "each image goes through the backbone once"
    result = sweep.result()
    assert [true[0, 0].item() for true in result.true] == [0, 1, 2, 3], "as the data set is ordered"
    assert len(result.boxes) == 16
    for cell, boxes in result.boxes.items():
        one = model(
            out_indices=(cell.block,),
            facet=cell.facet,
            normalize=cell.normalize,
            bias=cell.bias,
            k=5,
        )
        found = one(images, [sample.clone() for sample in samples])
        assert boxes.tolist() == [sample.pred_box.tolist() for sample in found]
        assert result.collapsed[cell] == one.num_collapsed
    assert len({boxes.tobytes() for boxes in result.boxes.values()}) > 4


def test_collapsed_images_are_counted_for_their_cell(data):
    sweep = Sweep(model().backbone, [0], ["key"], [True], [0.0, 2.0])
    sweep(*data)
    collapsed = sweep.result().collapsed
    assert collapsed[SweepSetting(0, "key", True, 2.0)] == 4
    assert collapsed[SweepSetting(0, "key", True, 0.0)] < 4
    assert sweep.result(size=3).collapsed[SweepSetting(0, "key", True, 2.0)] == 3
