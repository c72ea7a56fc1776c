"""The DPT depth head: the released files' names and shapes, and a functional re-statement."""

from __future__ import annotations

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn import functional as F

import ttr_backbones.tasks  # noqa: F401 -- registers the kinds of heads
from ttr_backbones.engine.state_dict_check import check_fit
from ttr_backbones.errors import InputError
from ttr_backbones.heads import DPTDepthHead
from ttr_backbones.safe_load import load_checkpoint_file

C = 384  # ViT-S


def released_shapes():
    """Names and shapes of dinov2_vits14_nyu_dpt_head.pth."""
    widths = (48, 96, 192, 384)
    shapes = {
        "conv_depth.head.0.weight": (128, 256, 3, 3),
        "conv_depth.head.0.bias": (128,),
        "conv_depth.head.2.weight": (32, 128, 3, 3),
        "conv_depth.head.2.bias": (32,),
        "conv_depth.head.4.weight": (1, 32, 1, 1),
        "conv_depth.head.4.bias": (1,),
        "reassemble_blocks.resize_layers.0.weight": (48, 48, 4, 4),
        "reassemble_blocks.resize_layers.0.bias": (48,),
        "reassemble_blocks.resize_layers.1.weight": (96, 96, 2, 2),
        "reassemble_blocks.resize_layers.1.bias": (96,),
        "reassemble_blocks.resize_layers.3.weight": (384, 384, 3, 3),
        "reassemble_blocks.resize_layers.3.bias": (384,),
        "project.conv.weight": (256, 256, 3, 3),
        "project.conv.bias": (256,),
    }
    for i, width in enumerate(widths):
        shapes |= {
            f"reassemble_blocks.projects.{i}.conv.weight": (width, 384, 1, 1),
            f"reassemble_blocks.projects.{i}.conv.bias": (width,),
            f"reassemble_blocks.readout_projects.{i}.0.weight": (384, 768),
            f"reassemble_blocks.readout_projects.{i}.0.bias": (384,),
            f"convs.{i}.conv.weight": (256, width, 3, 3),
            f"fusion_blocks.{i}.project.conv.weight": (256, 256, 1, 1),
            f"fusion_blocks.{i}.project.conv.bias": (256,),
        }
        for unit in (1, 2)[i == 0 :]:  # the first block adds nothing and has no first unit
            for conv in (1, 2):
                name = f"fusion_blocks.{i}.res_conv_unit{unit}.conv{conv}.conv.weight"
                shapes[name] = (256, 256, 3, 3)
    return {f"decode_head.{name}": shape for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A file of the released format, with random weights that keep the signal's size."""
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.randn(shape, generator=generator) / max(1, shape[1:].numel()) ** 0.5
        for name, shape in ((n, torch.Size(s)) for n, s in released_shapes().items())
    }
    state["decode_head.conv_depth.head.4.bias"] -= 1.5  # the last ReLU cuts some pixels off
    path = tmp_path_factory.mktemp("released") / "dinov2_vits14_nyu_dpt_head.pth"
    torch.save({"state_dict": state, "meta": {"epoch": 25, "iter": 38400}}, path)
    return path


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.decode_head = DPTDepthHead([2 * C] * 4)


def restated(state, maps, min_depth):
    """DINOv2's DPT decoder on plain tensors."""
    p = {name.removeprefix("decode_head."): tensor.double() for name, tensor in state.items()}

    def conv(x, name, **kwargs):
        return F.conv2d(x, p[f"{name}.weight"], p.get(f"{name}.bias"), **kwargs)

    def unit(x, name):
        inner = conv(x.relu(), f"{name}.conv1.conv", padding=1)
        return x + conv(inner.relu(), f"{name}.conv2.conv", padding=1)

    scales = []
    for i, one in enumerate(maps):
        name = f"reassemble_blocks.readout_projects.{i}.0"
        tokens = F.linear(one.movedim(1, -1), p[f"{name}.weight"], p[f"{name}.bias"])
        x = conv(F.gelu(tokens).movedim(-1, 1), f"reassemble_blocks.projects.{i}.conv")
        resize = f"reassemble_blocks.resize_layers.{i}"
        if i < 2:
            stride = (4, 2)[i]
            x = F.conv_transpose2d(x, p[f"{resize}.weight"], p[f"{resize}.bias"], stride=stride)
        elif i == 3:
            x = conv(x, resize, stride=2, padding=1)
        scales.append(conv(x, f"convs.{i}.conv", padding=1))
    fused = None
    for block, x in enumerate(reversed(scales)):
        if fused is None:
            fused = x
        else:
            x = F.interpolate(x, fused.shape[2:], mode="bilinear", align_corners=False)
            fused = fused + unit(x, f"fusion_blocks.{block}.res_conv_unit1")
        fused = unit(fused, f"fusion_blocks.{block}.res_conv_unit2")
        fused = F.interpolate(fused, scale_factor=2, mode="bilinear", align_corners=True)
        fused = conv(fused, f"fusion_blocks.{block}.project.conv")
    x = conv(fused, "project.conv", padding=1).relu()
    x = conv(x, "conv_depth.head.0", padding=1)
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    x = conv(x, "conv_depth.head.2", padding=1).relu()
    return conv(x, "conv_depth.head.4").relu() + min_depth


@pytest.fixture
def maps():
    """Patch tokens with the CLS token beside each, on a grid with an odd side."""
    generator = torch.Generator().manual_seed(1)
    return [
        torch.cat(
            [
                torch.randn(2, C, 3, 4, generator=generator),
                torch.randn(2, C, 1, 1, generator=generator).expand(2, C, 3, 4),
            ],
            dim=1,
        )
        for _ in range(4)
    ]


def test_a_released_file_fits_and_gives_what_the_decoder_gives(released, maps):
    state = load_checkpoint_file(released)["state_dict"]
    model = Model().eval()
    assert check_fit(model, state, "the released head") == []
    load_state_dict(model, state, strict=True)
    with torch.no_grad():
        depth = model.decode_head(maps)
    expected = restated(state, [m.double() for m in maps], min_depth=1e-3)
    assert depth.shape == (2, 1, 64, 64)
    assert 0.1 < (depth > 1e-3).float().mean() < 0.9
    torch.testing.assert_close(depth.double(), expected, rtol=1e-4, atol=1e-4)


def test_every_tensor_has_its_released_name_and_shape():
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in Model().state_dict().items()
        if not name.endswith("warm_up_calls")
    }
    assert shapes == released_shapes()


def test_gradients_reach_every_tensor_and_predictions_are_clamped():
    torch.manual_seed(0)
    head = DPTDepthHead([32] * 4, channels=16, max_depth=0.5)
    nn.init.constant_(head.conv_depth.head[-1].bias, 1.0)  # not below the last ReLU
    maps = [torch.randn(1, 32, 4, 4) for _ in range(4)]
    truth = [SegDataSample(gt_depth_map=PixelData(data=torch.rand(1, 30, 40) + 0.1))]
    head.loss(maps, truth, None)["loss_depth"].backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    depth = head.predict(maps, [{"img_shape": (30, 40)}], None)
    assert depth.shape == (1, 1, 30, 40)
    assert depth.max().item() == pytest.approx(0.5)


@pytest.mark.parametrize("channels", [[768] * 3, [768, 768, 384, 768], [20] * 4])
def test_other_than_four_like_maps_are_refused(channels):
    with pytest.raises(InputError, match="four maps of 2C channels each"):
        DPTDepthHead(channels)
