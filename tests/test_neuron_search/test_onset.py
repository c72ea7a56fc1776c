"""Where outliers appear is where they were planted."""

import pytest
import torch

from ttr_backbones.neuron_search.onset import block_norms, find_onset
from ttr_backbones.neuron_search.search import NoOutliersError


@pytest.mark.parametrize("block", [0, 1, 3])
@pytest.mark.parametrize("cls", [True, False], ids=["cls", "no_cls"])
def test_onset__is_the_block_of_the_planted_unit(planted, block, cls):
    truth = planted(places=[(block, 7)], cls=cls)
    onset = find_onset(truth.vit, truth.images.split(4))
    assert onset.first == block
    assert onset.first <= onset.detect
    assert onset.threshold < 200 < 10 * onset.threshold


def test_onset__counts_the_norms_of_all_patches_and_no_other_token(planted):
    truth = planted(places=[(1, 7)])
    norms = block_norms(truth.vit, truth.images.split(3))
    assert len(norms) == 4
    assert all(histogram.moments[0] == truth.bright.numel() for histogram in norms)
    with torch.no_grad():
        tokens = truth.vit.forward_intermediates(truth.images, intermediates_only=True)
    for histogram, features in zip(norms, tokens, strict=True):
        assert histogram.moments[1].item() == pytest.approx(features.norm(dim=1).sum().item())


def test_onset__says_that_there_are_no_outliers_and_leaves_no_hook(make_vit):
    vit = make_vit()
    with pytest.raises(NoOutliersError, match="Models trained with registers and untrained ones"):
        find_onset(vit, [torch.randn(4, 3, 64, 64)])
    with pytest.raises(ZeroDivisionError):
        find_onset(vit, (1 / 0 for _ in "a"))
    assert not any(module._forward_hooks for module in vit.modules())
