from __future__ import annotations

import pytest
import torch

from ttr_backbones.registers import mean_plus_std, outlier_mask, token_norms


def test_norms_and_threshold_by_hand():
    tokens = torch.tensor([[[3.0, 4], [0, 0]], [[6, 8], [0, 2]]])
    norms = token_norms(tokens)
    assert norms.tolist() == [[5, 0], [10, 2]]
    # mean 2.5, std 2.5; mean 6, std 4
    assert mean_plus_std(norms, num_std=2).tolist() == [[7.5], [14.0]]
    assert outlier_mask(tokens, 4.9).tolist() == [[True, False], [True, False]]
    assert outlier_mask(norms, 5).tolist() == [[False, False], [True, False]]


def test_norms_of_half_precision_do_not_overflow():
    assert token_norms(torch.full((1, 1, 4), 40000.0, dtype=torch.float16)).item() == 80000


def test_default_threshold_is_each_images_own():
    norms = torch.ones(2, 100)
    norms[0, 7], norms[1, 3] = 50, 3
    mask = outlier_mask(norms)
    assert mask.nonzero().tolist() == [[0, 7], [1, 3]]
    assert torch.equal(mask, torch.cat([outlier_mask(one[None]) for one in norms]))


def test_bad_tokens_are_explained():
    with pytest.raises(ValueError, match=r"expected tokens \[B, N, C\] or norms.*got \(4,\)"):
        outlier_mask(torch.ones(4))
    with pytest.raises(ValueError, match="1 of 2 values are NaN or infinite"):
        outlier_mask(torch.tensor([[1.0, float("nan")]]))
