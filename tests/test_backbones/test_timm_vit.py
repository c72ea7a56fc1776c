"""`TimmViT`: equal to timm bit for bit when registers are off; every option, every bad option."""

from __future__ import annotations

import copy
import functools
import json
from types import SimpleNamespace

import huggingface_hub
import pytest
import timm
import torch
from mmengine.model import Sequential
from mmengine.runner.checkpoint import load_state_dict
from mmseg.registry import MODELS
from torch.nn import functional as F

from ttr_backbones.backbones import TimmViT
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers, token_norms

SMALL = {"depth": 4, "embed_dim": 32, "num_heads": 2, "init_values": 1.0}
DINOV3 = "vit_small_patch16_dinov3"
ROPE = "vit_base_patch16_rope_224"
DINOV2, REG4 = "vit_small_patch14_dinov2.lvd142m", "vit_small_patch14_reg4_dinov2.lvd142m"
UNLISTED = "vit_large_patch14_clip_224.laion2b"
CLIP = "vit_base_patch16_clip_quickgelu_224.openai"
TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


def make(model=DINOV2, seed=0, **options) -> TimmViT:
    torch.manual_seed(seed)
    backbone = TimmViT(model, model_kwargs=SMALL, **options)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in backbone.vit.named_parameters():
        if name in ("pos_embed", "cls_token", "reg_token"):
            parameter.data = torch.randn(parameter.shape, generator=generator) / 2
    return backbone


@pytest.mark.parametrize("model", [DINOV2, REG4, CLIP, TINY, "deit3_base_patch16_224.fb_in1k"])
@pytest.mark.parametrize("norm", [True, False])
@torch.no_grad()
def test_without_registers_equals_timm_bit_for_bit(model, norm):
    backbone = make(model, out_indices=(1, -1), final_norm=norm, pos_embed="timm")
    patch = backbone.patch_size[0]
    for h, w in [(backbone.vit.patch_embed.grid_size[0],) * 2, (5, 9)]:
        x = torch.randn(2, 3, h * patch, w * patch)
        expected = backbone.vit.forward_intermediates(x, [1, 3], norm=norm, intermediates_only=True)
        assert all(torch.equal(m, e) for m, e in zip(backbone(x), expected, strict=True))


@pytest.mark.parametrize("model", [DINOV2, REG4, CLIP])
@torch.no_grad()
def test_with_registers_equals_timm_with_registers(model):
    layers, x = {1: [3, 5], 2: [7]}, torch.randn(2, 3, 64, 96)
    repair = {"type": "test_time", "neurons": layers, "num": 2}
    backbone = make(model, pos_embed="timm", pad="corner", repair=repair)
    plain = make(model, pos_embed="timm").vit
    add_test_time_registers(plain, layers, num=2)
    x = F.pad(x, (0, -96 % backbone.patch_size[1], 0, -64 % backbone.patch_size[0]))
    expected = plain.forward_intermediates(x, [3], norm=True, intermediates_only=True)[0]
    assert torch.equal(backbone(x)[0], expected)


@torch.no_grad()
def test_the_real_vit_has_no_outlier_left(tiny_weights, photos):
    options = {"checkpoint": tiny_weights, "final_norm": False}
    plain = TimmViT(TINY, **options)(photos(224))[0]
    clean = TimmViT(TINY, repair={"type": "test_time", "neurons": "auto"}, **options)(photos(224))[
        0
    ]
    assert token_norms(plain.flatten(2).transpose(1, 2)).max() > 500
    assert token_norms(clean.flatten(2).transpose(1, 2)).max() < 40


def dinov2_embedding(pos_embed, h, w, grid):
    """The DINOv2 repository's resampling for models without registers, from its description."""
    cls, patches = pos_embed[:, :1], pos_embed[:, 1:]
    square = patches.reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    scale = ((h + 0.1) / grid, (w + 0.1) / grid)
    square = F.interpolate(square, scale_factor=scale, mode="bicubic")
    assert square.shape[2:] == (h, w)
    return torch.cat([cls, square.permute(0, 2, 3, 1).reshape(1, h * w, -1)], dim=1)


@torch.no_grad()
def test_pos_embed_as_dinov2(monkeypatch):
    x = torch.randn(1, 3, 14 * 11, 14 * 17)
    backbone, timms = make(), make(pos_embed="timm")
    assert backbone.pos_embed == "dinov2", "the default of DINOv2's models without registers"
    vit = copy.deepcopy(backbone.vit)
    resampled = dinov2_embedding(vit.pos_embed, 11, 17, 37)
    tokens = vit.patch_embed(x).reshape(1, 11 * 17, -1)
    tokens = torch.cat([vit.cls_token, tokens], dim=1) + resampled
    expected = vit.norm(vit.blocks(tokens))[:, 1:].transpose(1, 2).reshape(1, 32, 11, 17)
    torch.testing.assert_close(backbone(x)[0], expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(timms(x)[0], expected, atol=1e-2)
    native = torch.randn(1, 3, 518, 518)
    assert torch.equal(backbone(native)[0], timms(native)[0])
    assert make(REG4).pos_embed == "timm"
    assert make(TINY).pos_embed == "timm"


def test_positions_are_resampled_as_the_architecture_says_not_its_name(tmp_path):
    small = {"depth": 1, "embed_dim": 32, "num_heads": 2}

    def resampled(model, **kwargs):
        vit = timm.create_model(model, num_classes=0, **small, **kwargs)
        torch.save(vit.state_dict(), tmp_path / "weights.pth")
        options = {"model_kwargs": small | kwargs, "checkpoint": tmp_path / "weights.pth"}
        return TimmViT(model, **options).pos_embed

    layer_scale = {"init_values": 1.0}
    assert resampled("vit_small_patch14_dinov2", **layer_scale) == "dinov2"
    assert resampled("vit_small_patch14_dinov2.lvd142m", reg_tokens=2, **layer_scale) == "timm"
    assert resampled("vit_small_patch14_reg4_dinov2", **layer_scale) == "timm"
    assert resampled("vit_small_patch16_224.dino") == "dinov2"
    assert resampled("vit_small_patch8_224") == "dinov2"  # all its weights are DINO's
    assert resampled("vit_small_patch16_224") == "timm"
    folder = tmp_path / "vit_small_patch14_dinov2.lvd142m"  # a name that says nothing
    folder.mkdir()
    config = {"architecture": "vit_tiny_patch16_224", "model_args": small, "pretrained_cfg": {}}
    (folder / "config.json").write_text(json.dumps(config))
    assert TimmViT(f"local-dir:{folder}").pos_embed == "timm"


@torch.no_grad()
def test_pos_embed_as_dinov2_leaves_the_register_without_a_position():
    x, layers = torch.randn(2, 3, 70, 98), {1: [3], 2: [7]}
    backbone = make(repair={"type": "test_time", "neurons": layers, "num": 2})
    assert backbone(x)[0].shape == (2, 32, 5, 7)
    tokens = []
    hook = backbone.vit.norm_pre.register_forward_hook(lambda *args: tokens.append(args[2]))
    backbone(x)
    hook.remove()
    assert not tokens[0][:, 1:3].any()


@pytest.mark.parametrize(("pad", "around"), [("center", (3, 4, 1, 2)), ("corner", (0, 7, 0, 3))])
@torch.no_grad()
def test_padding_is_dinov2s_center_or_corner(pad, around):
    x = torch.randn(1, 3, 14 * 4 - 3, 14 * 6 - 7)
    backbone = make(pad=pad)
    assert torch.equal(backbone(x)[0], backbone(F.pad(x, around))[0])
    assert backbone(x)[0].shape == (1, 32, 4, 6)


@pytest.mark.parametrize("pad", ["center", "corner"])
def test_cropping_back_aligns_the_map_with_the_image(pad):
    from ttr_backbones.backbones.padding import crop_map, margins

    h, w, patch = 37, 50, 16
    around = margins((h, w), (patch, patch), pad)
    left, _, top, _ = around
    # A map that holds the x and y coordinate of each cell's centre, in pixels of the image.
    xs, ys = torch.arange(4) * patch + 7.5 - left, torch.arange(3) * patch + 7.5 - top
    ramp = torch.stack([xs.expand(3, 4), ys[:, None].expand(3, 4)])[None]
    cropped = crop_map(ramp, around, (patch, patch))
    # Cell centres of a 3 x 4 grid laid over the image alone.
    expected_x = (torch.arange(4) + 0.5) * w / 4 - 0.5
    expected_y = (torch.arange(3) + 0.5) * h / 3 - 0.5
    inside_x = (expected_x >= xs[0]) & (expected_x <= xs[-1])
    inside_y = (expected_y >= ys[0]) & (expected_y <= ys[-1])
    assert inside_x.sum() >= 3
    assert inside_y.sum() >= 2
    given_x, given_y = cropped[0, 0, 0], cropped[0, 1, :, 0]
    torch.testing.assert_close(given_x[inside_x], expected_x[inside_x], atol=1e-4, rtol=0)
    torch.testing.assert_close(given_y[inside_y], expected_y[inside_y], atol=1e-4, rtol=0)
    torch.testing.assert_close(crop_map(ramp, (0, 0, 0, 0), (16, 16)), ramp)


@torch.no_grad()
def test_cls_token_is_concatenated_behind_every_patch():
    x = torch.randn(2, 3, 56, 70)
    backbone = make(
        TINY, cls_token="concat", repair={"type": "test_time", "neurons": {1: [3]}}, pad="corner"
    )
    both = backbone(x)[0]
    assert both.shape == (2, 64, 4, 5)
    assert backbone.channels == 64
    padded = F.pad(x, (0, 10, 0, 8))
    tokens = backbone.vit.forward_features(padded)
    assert torch.equal(both[:, 32:], tokens[:, 0, :, None, None].expand(2, 32, 4, 5))
    assert torch.equal(both[:, :32].flatten(2).transpose(1, 2), tokens[:, 1:])


@pytest.mark.parametrize(("facet", "part"), [("query", 0), ("key", 1), ("value", 2)])
@torch.no_grad()
def test_facets_are_the_output_of_qkv(facet, part):
    x, seen = torch.randn(2, 3, 64, 80), {}
    backbone = make(
        TINY, facet=facet, out_indices=(-1, 1), repair={"type": "test_time", "neurons": {1: [3]}}
    )
    for index in (1, 3):
        qkv = backbone.vit.blocks[index].attn.qkv
        qkv.register_forward_hook(lambda *args, index=index: seen.update({index: args[2]}))
    backbone.vit.forward_features(x)
    expected = {i: t[:, 2:, 32 * part : 32 * (part + 1)] for i, t in seen.items()}
    for index, given in zip((3, 1), backbone(x), strict=True):
        assert torch.equal(given.flatten(2).transpose(1, 2), expected[index])
    assert backbone.channels == 32


def test_frozen_is_never_trained_saved_or_in_train_mode():
    backbone = make(TINY).train()
    assert backbone.training
    assert not any(module.training for module in backbone.vit.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not backbone(torch.randn(1, 3, 64, 64))[0].requires_grad
    whole = torch.nn.ModuleDict({"backbone": backbone, "head": torch.nn.Linear(2, 2)})
    assert set(whole.state_dict()) == {"head.weight", "head.bias"}
    result = whole.load_state_dict(whole.state_dict(), strict=True)
    assert not result.missing_keys
    with pytest.raises(RuntimeError, match=r"head\.bias"):
        whole.load_state_dict({"head.weight": torch.zeros(2, 2)})


@pytest.mark.parametrize("frozen", [True, False])
def test_a_checkpoint_s_backbone_is_left_aside_or_loaded(frozen):
    model = torch.nn.ModuleDict({"backbone": make(TINY, frozen=frozen)})
    before = copy.deepcopy(model["backbone"].vit.state_dict())
    tuned = {f"backbone.vit.{name}": weight + 1 for name, weight in before.items()}
    for load in (model.load_state_dict, functools.partial(load_state_dict, model, strict=True)):
        load(dict(tuned))
        for name, weight in model["backbone"].vit.state_dict().items():
            expected = before[name] if frozen else tuned[f"backbone.vit.{name}"]
            assert torch.equal(weight, expected), name
    if frozen:
        model.load_state_dict(
            {"backbone.vit.pos_embed": torch.zeros(1), "backbone.mask": torch.ones(1)}
        )


@pytest.mark.parametrize("frozen", [True, False])
def test_mmengine_does_not_draw_new_weights(frozen):
    backbone = make(TINY, frozen=frozen)
    model = Sequential(backbone)
    before = copy.deepcopy(backbone.vit.state_dict())
    model.init_weights()  # as mmengine's Runner does; timm's ViT has a method of that name
    assert all(torch.equal(before[k], v) for k, v in backbone.vit.state_dict().items())


def test_the_doubts_about_a_list_are_told(monkeypatch):
    assert "doubt" in RegisterNeurons.bundled("vit_base_patch14_dinov2.lvd142m").provenance
    told = []
    monkeypatch.setattr(
        "ttr_backbones.backbones.repair_options.print_log", lambda text, **_: told.append(text)
    )
    doubtful = RegisterNeurons("", {1: [3]}, {"doubt": "found on a Sunday"})
    make(repair={"type": "test_time", "neurons": doubtful})
    assert "found on a Sunday" in told[0]


def test_the_list_is_looked_up_before_weights_are_fetched(monkeypatch):
    monkeypatch.setattr("ttr_backbones.backbones.timm_vit.create_vit", None)
    with pytest.raises(ValueError, match="no register-neuron list ships"):
        TimmViT(UNLISTED, pretrained=True, repair={"type": "test_time", "neurons": "auto"})


def test_unfrozen_is_trained_and_saved():
    backbone = make(TINY, frozen=False, repair={"type": "test_time", "neurons": {1: [3]}}).train()
    backbone(torch.randn(1, 3, 64, 64))[0].square().mean().backward()
    assert backbone.vit.blocks[1].mlp.fc2.weight.grad.any()
    assert "vit.pos_embed" in backbone.state_dict()
    assert backbone.vit.training


COMPILED = {
    "out_indices": (1, 3),
    "cls_token": "concat",
    "repair": {"type": "test_time", "neurons": {1: [3]}},
}


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["eager", "inductor"])
@torch.no_grad()
def test_compiles_without_graph_breaks(backend):
    backbone, x = make(**COMPILED), torch.randn(2, 3, 40, 60)
    eager = backbone(x)
    compiled = torch.compile(backbone, fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(x), eager, rtol=1e-4, atol=1e-4)


@pytest.mark.exports
@torch.no_grad()
def test_exports():
    backbone, x = make(**COMPILED), torch.randn(2, 3, 40, 60)
    eager = backbone(x)
    exported = torch.export.export(backbone, (x,)).module()
    torch.testing.assert_close(exported(x), eager, rtol=1e-5, atol=1e-5)


def test_is_in_mmsegs_registry_and_knows_its_normalisation():
    built = MODELS.build({"type": "mmseg.TimmViT", "model": TINY, "model_kwargs": SMALL})
    assert built.mean == [127.5] * 3
    assert built.std == [127.5] * 3
    assert make().mean == pytest.approx([123.675, 116.28, 103.53])
    assert make().std == pytest.approx([58.395, 57.12, 57.375])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "vit_tiny_patch16_225"}, "unknown timm model.*Did you mean 'vit_tiny_patch16_2"),
        ({"model": "vit_tiny_patch16_224.augreg"}, "unknown tag of vit_tiny.*augreg_in21k"),
        ({"model": "timm/vit_tiny"}, "unknown timm model"),
        (
            {"model": "swin_tiny_patch4_window7_224", "model_kwargs": None},
            "swin_tiny.*: expected a timm VisionTransformer or .*, got SwinTransformer",
        ),
        ({"model": "convnext_tiny", "model_kwargs": None}, "expected a timm Vision.*got ConvNeXt"),
        ({"model": "resnet18", "model_kwargs": None}, "expected a timm Vision.*got ResNet"),
        ({"model": "beit_base_patch16_224"}, "or a timm Eva.*got Beit: its relative position bias"),
        ({"model": ROPE, "model_kwargs": {"use_naflex": True}}, "got NaFlexVit: .*padded"),
        ({"model": "eva02_tiny_patch14_22"}, "Did you mean 'eva02_tiny_patch14_224'"),
        ({"repair": "auto"}, r"repair='auto': expected None or a dict.*neurons='auto'"),
        ({"repair": True}, r"repair=True: .*repair=dict\(type='test_time', neurons='auto'\)"),
        ({"repair": "my.json"}, r"repair=dict\(type='test_time', neurons='my.json'\)"),
        ({"init_cfg": {"type": "Pretrained"}}, "Give a weight file as checkpoint=FILE"),
        ({"checkpoint_prefix": "teacher"}, "goes with checkpoint=FILE"),
        (
            {"model": "vit_tiny_patch16_224", "pretrained": True},
            "names an architecture, not weights.*vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        ),
        (
            {"model": "vit_base_patch16_clip_224.openai"},
            "QuickGELU.*'vit_base_patch16_clip_quickgelu_224.openai'",
        ),
        ({"pretrained": True, "checkpoint": "x.pth"}, "give one source of weights"),
        ({"checkpoint": "nowhere.pth"}, "nowhere.pth does not exist"),
        ({"model": "local-dir:/nowhere"}, "no such folder"),
        ({"model_kwargs": {"dept": 3}}, "model_kwargs do not fit.*dept"),
        ({"model_kwargs": {"dynamic_img_size": False}}, "dense tasks need every size"),
        ({"out_indices": (4,)}, r"block 4, the model has blocks 0\.\.3"),
        ({"out_indices": ()}, "expected a list of block indices"),
        ({"out_indices": 3}, "expected a list of block indices"),
        ({"facet": "keys"}, "unknown facet 'keys'. Did you mean 'key'"),
        ({"cls_token": "add"}, "unknown cls_token 'add'.*Known: concat, drop"),
        ({"pos_embed": "dino"}, "unknown pos_embed 'dino'. Did you mean 'dinov2'"),
        ({"pad": "centre"}, "unknown pad 'centre'. Did you mean 'center'"),
        ({"cls_token": "concat", "facet": "key"}, "goes with facet='token'"),
        ({"model": REG4, "pos_embed": "dinov2"}, "use pos_embed='timm'"),
        ({"model": DINOV3, "pos_embed": "dinov2"}, "no position embedding that could be resampled"),
        ({"model": "eva02_tiny_patch14_224"}, "use final_norm=False"),
        ({"model_kwargs": SMALL | {"global_pool": "avg"}}, "use final_norm=False"),
        (
            {"model": "vit_base_patch16_gap_224", "cls_token": "concat", "final_norm": False},
            "has no CLS token",
        ),
        ({"repair": {"type": "test_time", "num": 1}}, "needs `neurons`"),
        ({"repair": {"neurons": {1: [2]}}}, "repair needs `type`, one of .*'bias', .*'test_time'"),
        ({"registers": {"num": 2}}, r"is now repair=dict\(type='test_time', num=2\)"),
        ({"registers": {"form": "bias", "baked": "b.st"}}, r"dict\(type='bias', artifact='b.st'\)"),
        ({"repair": {"type": "test_time", "number": 2}}, "unknown option.*'number'.*'num'"),
        ({"repair": {"type": "test_time", "neurons": {1: [200]}}}, "unit 200 of block 1"),
        ({"repair": {"type": "test_time", "neurons": "none.json"}}, "no register-neuron list at"),
        (
            {"model": UNLISTED, "repair": {"type": "test_time", "neurons": "auto"}},
            f"`ttrb find-neurons {UNLISTED} --images DIR",
        ),
    ],
)
def test_bad_options_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        TimmViT(**({"model": DINOV2, "model_kwargs": SMALL} | options))


def test_bad_inputs_are_explained():
    with pytest.raises(ValueError, match=r"expected images \[B, 3, H, W\], got \(3, 64, 64\)"):
        make()(torch.ones(3, 64, 64))
    with pytest.raises(ValueError, match="60 x 70 pixels is no multiple of the 14 x 14 patch"):
        make(pad=None)(torch.ones(1, 3, 60, 70))


def test_a_hub_that_cannot_be_reached_counts_as_offline(monkeypatch, tmp_path):
    def refused(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.get_session", lambda: SimpleNamespace(head=refused))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"could not be had.*checkpoint=FILE"):
        TimmViT("vit_small_patch16_224.dino", pretrained=True)
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


def test_random_weights_that_are_frozen_are_told(monkeypatch):
    told = []
    monkeypatch.setattr(
        "ttr_backbones.backbones.timm_vit.print_log", lambda text, **_: told.append(text)
    )
    make(frozen=False)
    assert not told
    make()
    assert "frozen with random weights" in told[0]


def test_without_a_network_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", "/nonexistent")
    with pytest.raises(ValueError, match=r"could not be had.*checkpoint=FILE"):
        TimmViT("vit_small_patch16_224.dino", pretrained=True)
