"""The linear depth head: written out plainly, and with the names of DINOv2's released heads."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.heads import DPTDepthHead, LinearDepthHead
from ttr_backbones.losses import GradientLoss, SigLoss


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, c, 5, 6, generator=generator) for c in (6, 8, 6)]


def plain(head, maps, upsample=4):
    """Upsample the maps, convolve, and take the mean of the bins: the protocol's own order."""
    size = [upsample * side for side in maps[0].shape[2:]]
    maps = [F.interpolate(m.double(), size, mode="bilinear", align_corners=False) for m in maps]
    weight = head.conv_depth.weight[:, :, 0, 0].double()
    bias = head.conv_depth.bias[:, None, None].double()
    logits = torch.einsum("kc,bchw->bkhw", weight, torch.cat(maps, dim=1)) + bias
    activations = torch.relu(logits) + 0.1
    probabilities = activations / activations.sum(dim=1, keepdim=True)
    bins = torch.linspace(head.min_depth, head.max_depth, len(weight), dtype=torch.float64)
    return torch.einsum("bkhw,k->bhw", probabilities, bins)[:, None]


@pytest.mark.parametrize(("channels", "index"), [([8], [1]), ([6, 8, 6], None)])
def test_equals_the_plain_restatement(maps, channels, index):
    head = LinearDepthHead(channels, index, n_bins=16, upsample=3)
    torch.nn.init.normal_(head.conv_depth.weight)  # many bins switched off
    taken = maps if index is None else [maps[1]]
    depth = head(maps)
    assert depth.shape == (2, 1, 15, 18)
    torch.testing.assert_close(depth.double(), plain(head, taken, 3), rtol=1e-5, atol=1e-5)
    assert depth.std() > 0.1, "the maps matter"


def test_maps_of_another_grid_are_resized_to_the_first(maps):
    head = LinearDepthHead([6, 8], [0, 1], n_bins=16)
    torch.nn.init.normal_(head.conv_depth.weight)
    maps[1] = torch.randn(2, 8, 9, 4)
    expected = plain(head, maps[:2])
    torch.testing.assert_close(head(maps).double(), expected, rtol=1e-5, atol=1e-5)


def test_without_any_activation_the_depth_is_the_middle_of_the_range(maps):
    head = LinearDepthHead([6], n_bins=256)
    torch.nn.init.zeros_(head.conv_depth.weight)
    torch.nn.init.constant_(head.conv_depth.bias, -1.0)
    torch.testing.assert_close(head(maps), torch.full((2, 1, 20, 24), 5.0005))


def test_tensors_are_named_as_in_the_released_heads():
    for in_channels, channels in (([768], 768), ([768] * 4, 3072)):
        head = LinearDepthHead(in_channels, loss_decode=[])
        shapes = {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
        expected = {"conv_depth.weight": (256, channels, 1, 1), "conv_depth.bias": (256,)}
        assert shapes == expected
    assert set(LinearDepthHead(768).state_dict()) - set(shapes) == {"loss_decode.0.warm_up_calls"}


def test_a_released_head_takes_the_range_of_the_config(maps):
    """The hub's 80 m bins stretch NYUv2 depths about eightfold."""
    nyu = LinearDepthHead([6], max_depth=10.0)
    hub = LinearDepthHead([6], max_depth=80.0)
    hub.load_state_dict(nyu.state_dict())
    ratio = hub(maps) / nyu(maps)
    torch.testing.assert_close(ratio, torch.full_like(ratio, 8.0), rtol=1e-2, atol=0)
    assert "max_depth=10" in LinearDepthHead.__doc__
    assert "80 m" in LinearDepthHead.__doc__


def samples(truth):
    return [SegDataSample(gt_depth_map=PixelData(data=one)) for one in truth]


def test_losses_are_taken_at_the_size_of_the_truth(maps):
    config = [{"type": "SigLoss"}, {"type": "GradientLoss"}, {"type": "SigLoss", "warm_up": 0}]
    head = LinearDepthHead([6], loss_decode=config)
    truth = torch.rand(2, 1, 31, 37, generator=torch.Generator().manual_seed(1)) * 10
    depth = F.interpolate(head(maps), (31, 37), mode="bilinear", align_corners=False)
    losses = head.loss(maps, samples(truth), train_cfg=None)
    assert set(losses) == {"loss_depth", "loss_grad"}
    both = SigLoss()(depth, truth) + SigLoss(warm_up=0)(depth, truth)
    torch.testing.assert_close(losses["loss_depth"], both)
    torch.testing.assert_close(losses["loss_grad"], GradientLoss()(depth, truth))


def test_training_lowers_the_loss(maps):
    torch.manual_seed(0)
    head = LinearDepthHead([6, 8, 6], loss_decode={"type": "SigLoss", "warm_up": 5})
    truth = maps[0][:, :1].sigmoid() * 9 + 0.5
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        loss = head.loss(maps, samples(truth), train_cfg=None)["loss_depth"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[5]


def test_prediction_is_clamped_and_resized_to_the_image(maps):
    head = LinearDepthHead([6], n_bins=8)
    metas = [{"img_shape": (19, 23), "pad_shape": (21, 28)}] * 2
    depth = head.predict(maps, metas, test_cfg=None)
    expected = F.interpolate(head(maps), (21, 28), mode="bilinear", align_corners=False)
    assert torch.equal(depth, expected)
    assert head.predict(maps, [{"img_shape": (19, 23)}], None).shape == (2, 1, 19, 23)
    head.bins *= 2  # now the largest depth is beyond the range
    torch.nn.init.zeros_(head.conv_depth.weight)
    with torch.no_grad():
        head.conv_depth.bias.copy_(torch.tensor([0.0] * 7 + [1e4]))
    assert (head(maps) > 19).all()
    clamped = head.predict(maps, metas, None)
    torch.testing.assert_close(clamped, torch.full_like(clamped, 10.0))


def test_bad_input_is_explained(maps):
    with pytest.raises(InputError, match=r"LinearDepthHead expected maps of \[5\] channels"):
        LinearDepthHead([5], [0])(maps)
    with pytest.raises(InputError, match="0 < min_depth < max_depth"):
        LinearDepthHead([6], min_depth=10.0, max_depth=1.0)
    with pytest.raises(InputError, match="n_bins=1"):
        LinearDepthHead([6], n_bins=1)
    with pytest.raises(InputError, match="LoadDepth"):
        LinearDepthHead([6]).loss(maps, [SegDataSample(), SegDataSample()], None)


@pytest.mark.parametrize("head", [LinearDepthHead, DPTDepthHead])
def test_no_value_is_fetched_from_the_device(head):
    with FakeTensorMode():  # tensors without values: looking at one, or indexing by a mask, raises
        built = head([32] * 4)
        maps = [torch.empty(2, 32, 3, 4)] * 4
        built.loss(maps, samples(torch.empty(2, 1, 30, 40)), None)["loss_depth"].backward()
        built.predict(maps, [{"img_shape": (30, 40)}], None)


def test_half_precision_keeps_the_depth_in_float32(maps):
    head = LinearDepthHead([6])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        depth = head(maps)
    assert depth.dtype == torch.float32
    torch.testing.assert_close(depth, head(maps), rtol=1e-2, atol=0)


def test_norm__is_dinov3s_head(maps):
    """Batch norm, then the convolution, then the bins, all on the grid of the patches."""
    head = LinearDepthHead([8], [1], n_bins=16, upsample=1, norm=True)
    torch.nn.init.normal_(head.conv_depth.weight)
    depth = head.train()(maps)
    x = maps[1]
    mean, std = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    expected = plain(head, [(x - mean) / (std + 1e-5).sqrt()], upsample=1)
    torch.testing.assert_close(depth.double(), expected, rtol=1e-4, atol=1e-4)
    assert head.batchnorm_layer.num_batches_tracked == 1
