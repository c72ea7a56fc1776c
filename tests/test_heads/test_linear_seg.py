"""The linear head: written out by hand, and with the names of DINOv2's released heads."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from ttr_backbones.heads import LinearSegHead


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, c, 5, 6, generator=generator) for c in (3, 4, 3)]


def test_equals_batch_norm_then_one_by_one_convolution(maps):
    head = LinearSegHead([4, 3], [1, 2], num_classes=7).train()
    torch.nn.init.normal_(head.bn.weight)
    torch.nn.init.normal_(head.bn.bias)
    x = torch.cat(maps[1:], dim=1)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    normed = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
    normed = normed * head.bn.weight[:, None, None] + head.bn.bias[:, None, None]
    weight = head.conv_seg.weight[:, :, 0, 0]
    expected = torch.einsum("kc,bchw->bkhw", weight, normed) + head.conv_seg.bias[:, None, None]
    torch.testing.assert_close(head(maps), expected, rtol=1e-4, atol=1e-5)


def test_tensors_are_named_as_in_the_released_heads():
    head = LinearSegHead([384], [3], num_classes=150)
    shapes = {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
    assert shapes == {
        "bn.weight": (384,),
        "bn.bias": (384,),
        "bn.running_mean": (384,),
        "bn.running_var": (384,),
        "bn.num_batches_tracked": (),
        "conv_seg.weight": (150, 384, 1, 1),
        "conv_seg.bias": (150,),
    }
    multi = LinearSegHead([384] * 4, [0, 1, 2, 3], num_classes=21).state_dict()
    assert multi["bn.weight"].shape == (1536,)
    assert multi["conv_seg.weight"].shape == (21, 1536, 1, 1)


def test_loss_is_cross_entropy_over_all_pixels_and_ignores_255(maps):
    head = LinearSegHead([3], [0], num_classes=4).eval()
    labels = torch.randint(4, (2, 20, 24), generator=torch.Generator().manual_seed(1))
    labels[:, :7] = 255
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in labels]
    logits = F.interpolate(head(maps), labels.shape[1:], mode="bilinear", align_corners=False)
    # DINOv2's heads divide by all pixels, ignored ones included (avg_non_ignore False).
    expected = F.cross_entropy(logits, labels, ignore_index=255, reduction="sum") / labels.numel()
    loss = head.loss(maps, samples, train_cfg={})["loss_ce"]
    torch.testing.assert_close(loss, expected)
    maps[0].requires_grad_()
    head.loss(maps, samples, train_cfg={})["loss_ce"].backward()
    assert not maps[0].grad[:, :, 0].any(), "ignored pixels change nothing"


def test_maps_of_another_size_are_resized_to_the_first(maps):
    head = LinearSegHead([3, 4], [0, 1], num_classes=2).eval()
    maps[1] = F.interpolate(maps[1], (10, 12))
    assert head(maps).shape == (2, 2, 5, 6)


def test_one_map_may_be_named_by_plain_numbers_or_be_the_last(maps):
    listed = LinearSegHead([3], [2], num_classes=5).eval()
    for head in (LinearSegHead(3, 2, num_classes=5), LinearSegHead(3, num_classes=5)):
        head.load_state_dict(listed.state_dict())
        assert torch.equal(head.eval()(maps), listed(maps))


def test_bad_maps_are_explained(maps):
    with pytest.raises(ValueError, match=r"expected maps of \[5\] channels.*\[3\].*in_channels="):
        LinearSegHead([5], [0], num_classes=2)(maps)
    with pytest.raises(ValueError, match=r"takes maps \[3\], the backbone gives 3"):
        LinearSegHead([3], [3], num_classes=2)(maps)
    with pytest.raises(ValueError, match="expected one number of channels per map"):
        LinearSegHead([3], [0, 1], num_classes=2)
    with pytest.raises(ValueError, match="leave `channels` out"):
        LinearSegHead([3], [0], num_classes=2, channels=4)
