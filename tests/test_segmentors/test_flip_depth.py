"""Averaging with the mirror image, on a random ViT with a random head."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn import functional as F

import ttr_backbones.backbones
import ttr_backbones.heads  # noqa: F401
from ttr_backbones.errors import InputError
from ttr_backbones.segmentors import FlipDepthEstimator

METAS = [{"img_shape": (48, 64), "ori_shape": (48, 64)}] * 3


@pytest.fixture
def make():
    def make_estimator(**kwargs):
        torch.manual_seed(0)
        model = FlipDepthEstimator(
            backbone={"type": "TimmViT", "model": "test_vit", "cls_token": "concat"},
            decode_head={"type": "LinearDepthHead", "in_channels": [128]},
            **kwargs,
        )
        torch.nn.init.normal_(model.decode_head.conv_depth.weight)
        return model.eval().requires_grad_(False)

    return make_estimator


@pytest.fixture
def images():
    return torch.randn(3, 3, 48, 64, generator=torch.Generator().manual_seed(0))


def test_flip_is_the_mean_of_two_runs(make, images):
    once, both = make(test_cfg={"mode": "whole", "flip": False}), make()
    plain = once.inference(images, METAS)
    mirrored = once.inference(images.flip(3), METAS).flip(3)
    assert plain.shape == (3, 1, 48, 64)
    assert (plain - mirrored).abs().max() > 0.1
    torch.testing.assert_close(both.inference(images, METAS), (plain + mirrored) / 2)


def test_a_mirrored_image_has_the_mirrored_depth(make, images):
    model = make(test_cfg={"flip": True})
    depth = model.inference(images, METAS)
    torch.testing.assert_close(model.inference(images.flip(3), METAS), depth.flip(3))


@pytest.mark.parametrize(
    ("patch", "around", "crop"),
    [(16, (0, 0, 0, 0), False), (14, (2, 2, 5, 5), False), (14, (2, 2, 5, 5), True)],
)
def test_nyu_images_are_padded_around_their_centre(patch, around, crop):
    """480 x 640 px: nothing to pad at patch 16, 490 x 644 px at patch 14 (DINOv2)."""
    torch.manual_seed(0)
    model = FlipDepthEstimator(
        backbone={
            "type": "TimmViT",
            "model": "vit_tiny_patch16_224",
            "model_kwargs": {"patch_size": patch, "embed_dim": 32, "depth": 1, "num_heads": 2},
            "cls_token": "concat",
            "crop": crop,
        },
        decode_head={"type": "LinearDepthHead", "in_channels": [64], "n_bins": 8},
        test_cfg={"flip": False},
    ).eval()
    torch.nn.init.normal_(model.decode_head.conv_depth.weight)
    images = torch.randn(1, 3, 480, 640)
    metas = [{"img_shape": (480, 640), "ori_shape": (480, 640)}]
    with torch.no_grad():
        depth = model.inference(images, metas)
        whole = model.decode_head(model.backbone(F.pad(images, around)))
    assert depth.shape == (1, 1, 480, 640)
    left, right, top, bottom = around
    if not crop:  # as published: the map of the padded image is stretched over the image
        stretched = F.interpolate(whole, (480, 640), mode="bilinear", align_corners=False)
        torch.testing.assert_close(depth, stretched)
    else:  # the padding is cut off: pixel for pixel under the image, up to the grid's resampling
        padded = F.interpolate(whole, (490, 644), mode="bilinear", align_corners=False)
        cut = padded[..., top : 490 - bottom, left : 644 - right]
        inner = (..., slice(28, -28), slice(28, -28))
        aligned = (depth - cut)[inner].abs().mean()
        moved = (depth - cut.roll((5, 2), dims=(2, 3)))[inner].abs().mean()
        assert aligned < 0.8 * moved


def test_every_image_of_a_batch_comes_back_at_its_own_size(make, images):
    model = make()
    sizes = [(48, 64), (96, 128), (30, 40)]
    samples = [SegDataSample(metainfo={**METAS[0], "ori_shape": size}) for size in sizes]
    results = model.predict(images, samples)
    depth = model.inference(images, METAS)
    assert torch.equal(results[0].pred_depth_map.data, depth[0])
    assert [tuple(r.pred_depth_map.data.shape) for r in results] == [(1, *size) for size in sizes]


def test_the_loss_is_of_the_plain_images(make, images):
    model = make()
    samples = [SegDataSample(gt_depth_map=PixelData(data=torch.full((1, 48, 64), 2.0)))] * 3
    expected = model.decode_head.loss(model.extract_feat(images), samples, None)["loss_depth"]
    model.decode_head.loss_decode[0].warm_up_calls.zero_()
    assert model.loss(images, samples) == {"decode.loss_depth": expected}


@pytest.mark.parametrize(
    ("test_cfg", "told"),
    [
        ({"mode": "slide", "crop_size": (32, 32)}, "unknown option of test_cfg 'crop_size'"),
        ({"mode": "slide"}, "mode='slide': FlipDepthEstimator takes whole images"),
        ({"mode": "whole", "flips": True}, "Did you mean 'flip'"),
    ],
)
def test_another_mode_is_refused(make, test_cfg, told):
    with pytest.raises(InputError, match=told):
        make(test_cfg=test_cfg)
