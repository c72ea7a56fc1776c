"""Norms and attention before and after: equal to timm's own, and visible in numbers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from ttr_backbones.registers import add_test_time_registers
from ttr_backbones.report.artifacts import compare_artifacts, measure
from ttr_backbones.report.attention import cls_attention

TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.mark.parametrize("options", [{}, {"qk_norm": True, "norm_layer": "layernorm"}])
@torch.no_grad()
def test_attention_is_what_unfused_timm_computes(make_vit, options):
    vit = add_test_time_registers(make_vit(**options), {1: [3]}, num=2)
    block, seen = vit.blocks[-1], {}
    block.attn.fused_attn = False
    block.attn.attn_drop.register_forward_hook(lambda *args: seen.update(weights=args[2]))
    block.register_forward_pre_hook(lambda _, args: seen.update(tokens=args[0]))
    vit(torch.randn(2, 3, 64, 96))
    assert torch.allclose(seen["weights"].sum(-1), torch.ones(()))
    given = cls_attention(block, seen["tokens"], first_patch=3)
    torch.testing.assert_close(given, seen["weights"][:, :, 0, 3:], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_measure_gives_grids_of_every_block(make_vit):
    vit = add_test_time_registers(make_vit(), {1: [3]})
    measured = measure(vit, torch.randn(2, 3, 64, 96))
    assert measured.norms.shape == (4, 2, 4, 6)
    assert measured.attention.shape == (2, 4, 6)
    without_cls = make_vit(class_token=False, global_pool="avg")
    assert measure(without_cls, torch.randn(1, 3, 64, 64)).attention is None


def test_the_real_outliers_are_seen_before_and_gone_after(shared, tiny_weights, tmp_path):
    comparison, path = compare_artifacts(
        TINY, shared / "data/photos", None, tmp_path, checkpoint=tiny_weights, num_images=3
    )
    assert comparison.block >= 7, "outliers appear at block 7"
    assert comparison.outlier_fraction(comparison.before) > 0.01
    assert comparison.outlier_fraction(comparison.after) == 0
    assert comparison.largest_norm(comparison.before) > 500
    assert comparison.largest_norm(comparison.after) < 40
    picture = cv2.imread(str(path))
    assert picture.shape[0] > 900
    assert picture.shape[1] > 1400
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000, "blank"


def test_bad_images_are_explained(tmp_path, tiny_weights):
    options = {"neurons": None, "out": tmp_path / "out", "checkpoint": tiny_weights}
    with pytest.raises(FileNotFoundError, match="no such folder"):
        compare_artifacts(TINY, tmp_path / "none", **options)
    with pytest.raises(ValueError, match="holds no image"):
        compare_artifacts(TINY, tmp_path, **options)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        compare_artifacts(TINY, tmp_path, **options)


def test_a_size_that_is_no_multiple_of_the_patch_is_explained(shared, tiny_weights, tmp_path):
    with pytest.raises(
        ValueError, match="size 225 is no multiple of the model's patch of 16 pixels"
    ):
        compare_artifacts(
            TINY, shared / "data/photos", None, tmp_path, checkpoint=tiny_weights, size=225
        )
