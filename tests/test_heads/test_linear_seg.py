"""The linear head: written out by hand, and with the names of DINOv2's released heads."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from ttr_backbones.errors import InputError
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


def test_training__gradients_and_statistics_are_those_layer_by_layer(maps):
    head = LinearSegHead([4, 3], [1, 2], num_classes=7).double().train()
    maps = [each.double().requires_grad_() for each in maps[1:]]
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    alike = copy.deepcopy(head)
    wanted = alike.conv_seg(alike.bn(torch.cat(maps, dim=1)))
    given = head([maps[0], *maps])
    upstream = torch.randn_like(wanted)
    trained = [*maps, *head.parameters()], [*maps, *alike.parameters()]
    gradients = [
        torch.autograd.grad(x, of, upstream) for x, of in zip((given, wanted), trained, strict=True)
    ]
    torch.testing.assert_close(given, wanted)
    torch.testing.assert_close(*gradients)
    torch.testing.assert_close(dict(head.named_buffers()), dict(alike.named_buffers()))


def test_training__a_batch_norm_may_track_the_mean_over_all_batches(maps):
    head = LinearSegHead(3, num_classes=7).train()
    head.bn.momentum = None  # as torch.optim.swa_utils.update_bn sets it
    alike = copy.deepcopy(head.bn)
    for scale in (1, 2):
        torch.testing.assert_close(head([scale * maps[2]]), head.conv_seg(alike(scale * maps[2])))
    torch.testing.assert_close(head.bn.state_dict(), alike.state_dict())


def test_dropout_of_dinov3s_protocol_is_before_the_batch_norm(maps):
    options = {"in_channels": [3], "in_index": [0], "num_classes": 4, "dropout_ratio": 0.5}
    head = LinearSegHead(**options, dropout_first=True).train()
    torch.manual_seed(0)
    logits = head(maps)
    torch.manual_seed(0)
    expected = head.conv_seg(head.bn(F.dropout2d(maps[0], 0.5)))
    torch.testing.assert_close(logits, expected)
    assert not logits.equal(head.conv_seg(head.bn(maps[0])))


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


def test_single_value__is_refused_in_training_only():
    head = LinearSegHead([3], [0], num_classes=4)
    one = [torch.randn(1, 3, 1, 1)]
    with pytest.raises(InputError, match=r"map is 1 x 1 patch.*crop_size.*batch_size=2"):
        head.train()(one)
    assert head.eval()(one).shape == (1, 4, 1, 1)
    assert head.train()([torch.randn(2, 3, 1, 1)]).isfinite().all()


def labelled(labels):
    return [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in labels]


def both_ways(head, logits, samples):
    """Losses and gradients of the logits, ours and mmseg's."""
    for loss_by_feat in (head.loss_by_feat, super(LinearSegHead, head).loss_by_feat):
        losses = loss_by_feat(logits, samples)
        (gradient,) = torch.autograd.grad(losses["loss_ce"], logits)
        yield {name: value.detach() for name, value in losses.items()}, gradient


@pytest.mark.parametrize("size", [(64, 48), (37, 51), (5, 6), (3, 4)])
@pytest.mark.parametrize("avg_non_ignore", [False, True])
@pytest.mark.parametrize("ignored", ["some", "all", "none"])
def test_loss_accuracy_and_gradient_are_those_of_mmseg(size, avg_non_ignore, ignored):
    config = {"type": "CrossEntropyLoss", "avg_non_ignore": avg_non_ignore, "loss_weight": 0.7}
    align = size == (37, 51)
    head = LinearSegHead([3], num_classes=9, loss_decode=config, align_corners=align)
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 9, 5, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(9, (2, *size), generator=generator)
    labels[:, : {"some": 2, "all": None, "none": 0}[ignored]] = 255
    ours, mmsegs = both_ways(head, logits.requires_grad_(), labelled(labels))
    assert ours[0].keys() == mmsegs[0].keys() == {"loss_ce", "acc_seg"}
    torch.testing.assert_close(ours[0]["loss_ce"], mmsegs[0]["loss_ce"], rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(ours[0]["acc_seg"], mmsegs[0]["acc_seg"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours[1], mmsegs[1], rtol=1e-6, atol=1e-12)


def test_loss_stride__the_drawn_quarters_of_the_pixels_are_the_whole_on_average():
    logits = torch.randn(2, 4, 5, 6)
    labels = torch.randint(4, (2, 20, 24))
    labels[:, :7] = 255
    losses = set()
    head = LinearSegHead([3], num_classes=4, loss_stride=2)
    for seed in range(30):
        torch.manual_seed(seed)
        losses.add(head.loss_by_feat(logits, labelled(labels))["loss_ce"].item())
    whole = LinearSegHead([3], num_classes=4).loss_by_feat(logits, labelled(labels))["loss_ce"]
    assert len(losses) == 4
    assert sum(losses) / 4 == pytest.approx(whole.item(), rel=1e-5)


def test_loss_stride__goes_with_plain_cross_entropy_only():
    weighted = {"type": "CrossEntropyLoss", "class_weight": [1.0, 2.0]}
    head = LinearSegHead([3], num_classes=2, loss_stride=2, loss_decode=weighted)
    with pytest.raises(InputError, match="loss_stride=2 is for plain cross-entropy"):
        head.loss_by_feat(torch.randn(1, 2, 3, 3), labelled(torch.zeros(1, 6, 6, dtype=torch.long)))
    with pytest.raises(InputError, match="loss_stride=0: expected 1"):
        LinearSegHead([3], num_classes=2, loss_stride=0)


def test_losses_of_one_name_add_up_and_others_stand_beside():
    config = [
        {"type": "CrossEntropyLoss", "loss_weight": 0.5},
        {"type": "CrossEntropyLoss", "avg_non_ignore": True},
        {"type": "CrossEntropyLoss", "loss_name": "loss_other", "loss_weight": 2.0},
    ]
    head = LinearSegHead([3], num_classes=4, loss_decode=config)
    logits = torch.randn(1, 4, 5, 6, requires_grad=True)
    labels = torch.randint(4, (1, 20, 24))
    labels[:, :7] = 255
    ours, mmsegs = both_ways(head, logits, labelled(labels))
    assert ours[0].keys() == {"loss_ce", "loss_other", "acc_seg"}
    for name, value in ours[0].items():
        torch.testing.assert_close(value, mmsegs[0][name])
    torch.testing.assert_close(ours[1], mmsegs[1], rtol=1e-4, atol=1e-7)


def test_under_autocast_it_is_mmsegs_to_half_precision(maps):
    head = LinearSegHead([3, 4, 3], num_classes=6)
    samples = labelled(torch.randint(6, (2, 40, 48), generator=torch.Generator().manual_seed(1)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(maps).detach().requires_grad_()
        assert logits.dtype == torch.bfloat16
        ours, mmsegs = both_ways(head, logits, samples)
    torch.testing.assert_close(ours[0]["loss_ce"], mmsegs[0]["loss_ce"], rtol=1e-2, atol=0)
    torch.testing.assert_close(ours[1], mmsegs[1], rtol=5e-2, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"loss_decode": {"type": "CrossEntropyLoss", "class_weight": [1.0, 2.0, 0.5, 1.0]}},
        {"loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": True}},
        {"loss_decode": {"type": "DiceLoss", "loss_name": "loss_ce"}},
        {"loss_decode": [{"type": "CrossEntropyLoss"}, {"type": "LovaszLoss", "per_image": True}]},
        {"sampler": {"type": "OHEMPixelSampler", "thresh": 0.7, "min_kept": 10}},
    ],
)
def test_any_other_loss_is_left_to_mmseg(options):
    head = LinearSegHead([3], num_classes=4, **options)
    logits = torch.randn(1, 4, 5, 6, requires_grad=True)
    ours, mmsegs = both_ways(head, logits, labelled(torch.randint(4, (1, 20, 24))))
    assert ours[0].keys() == mmsegs[0].keys()
    for name, value in ours[0].items():
        assert torch.equal(value, mmsegs[0][name])
    assert torch.equal(ours[1], mmsegs[1])


def test_training_ends_with_the_weights_of_mmsegs_loss(maps, monkeypatch):
    def trained():
        torch.manual_seed(0)
        head = LinearSegHead([3, 4, 3], num_classes=5).train()
        head.init_weights()
        samples = labelled(torch.randint(5, (2, 35, 42)))
        optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
        for _ in range(20):
            optimizer.zero_grad()
            head.loss(maps, samples, train_cfg={})["loss_ce"].backward()
            optimizer.step()
        return head.state_dict()

    ours = trained()
    monkeypatch.delattr(LinearSegHead, "loss_by_feat")
    mmsegs = trained()
    for name, value in ours.items():
        torch.testing.assert_close(value, mmsegs[name], rtol=1e-4, atol=1e-5, msg=name)


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
