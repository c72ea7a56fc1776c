"""Weight files of every usual format, made here exactly as their publishers write them."""

from __future__ import annotations

import argparse
import json
import re

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from ttr_backbones.backbones import TimmViT
from ttr_backbones.errors import InputError
from ttr_backbones.vits.create import create_vit
from ttr_backbones.vits.neurons import model_name

DINOV2, REG4 = "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2"
GIANT, CLIP = "vit_giant_patch14_dinov2", "vit_base_patch16_clip_quickgelu_224"
OPENAI = ("input_resolution", "context_length", "vocab_size")
SMALL = {"depth": 2, "embed_dim": 32, "num_heads": 2}


def reference(model, **kwargs):
    """A random model to publish, every parameter non-trivial."""
    generator = torch.Generator().manual_seed(0)
    vit = timm.create_model(model, num_classes=0, dynamic_img_size=True, **SMALL, **kwargs)
    for parameter in vit.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 5
    return vit.eval()


def as_dinov2(vit):
    """`dinov2_*_pretrain.pth`: own names for SwiGLU, registers and the mask token."""
    state = dict(vit.state_dict())
    state["mask_token"] = torch.zeros(1, vit.embed_dim)
    if vit.reg_token is not None:
        # One position embedding for CLS in the file, folded into cls_token by timm.
        cls_position = torch.randn(1, 1, vit.embed_dim)
        state["register_tokens"] = state.pop("reg_token")
        state["pos_embed"] = torch.cat([cls_position, state["pos_embed"]], dim=1)
        state["cls_token"] = state["cls_token"] - cls_position
    swiglu = "blocks.0.mlp.fc1.weight" in state and hasattr(vit.blocks[0].mlp, "gate_last")
    if swiglu:
        state = {
            re.sub(r"mlp\.fc1", "mlp.w12", re.sub(r"mlp\.fc2", "mlp.w3", key)): value
            for key, value in state.items()
        }
    return state


def as_dinov2_teacher(vit):
    """`teacher_checkpoint.pth` of DINOv2: heads, and blocks in the chunks of FSDP."""
    state = {f"backbone.{key}": value for key, value in as_dinov2(vit).items()}
    state = {re.sub(r"blocks\.(\d+)\.", r"blocks.\1.\1.", k): v for k, v in state.items()}
    heads = ("dino_head.mlp.0.weight", "ibot_head.last_layer.weight_g")
    return state | dict.fromkeys(heads, torch.ones(3, 3))


_CLIP_NAMES = [
    (r"^patch_embed\.proj\.", "conv1."),
    (r"^norm_pre\.", "ln_pre."),
    (r"^norm\.", "ln_post."),
    (r"^pos_embed$", "positional_embedding"),
    (r"^cls_token$", "class_embedding"),
    (r"^blocks\.", "transformer.resblocks."),
    (r"\.norm([12])\.", r".ln_\1."),
    (r"\.attn\.qkv\.(\w+)", r".attn.in_proj_\1"),
    (r"\.attn\.proj\.", ".attn.out_proj."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
]


def as_visual_tower(vit):
    state = {}
    for key, value in vit.state_dict().items():
        for pattern, name in _CLIP_NAMES:
            key = re.sub(pattern, name, key)
        state[key] = value.squeeze() if key == "class_embedding" else value
    state["positional_embedding"] = state["positional_embedding"][0]
    state["proj"] = torch.randn(vit.embed_dim, 16)
    return state


def as_openai_clip(vit):
    """The whole CLIP: visual tower, text tower, and scalars."""
    text = {
        "positional_embedding": torch.randn(7, 8),
        "text_projection": torch.randn(8, 16),
        "logit_scale": torch.tensor(4.6),
        "transformer.resblocks.0.attn.in_proj_weight": torch.randn(24, 8),
        "token_embedding.weight": torch.randn(11, 8),
        "ln_final.weight": torch.ones(8),
    }
    return {f"visual.{k}": v for k, v in as_visual_tower(vit).items()} | text


class _Holder(torch.nn.Module):
    """Carries dotted parameter names into a TorchScript archive, as OpenAI's files are."""

    def __init__(self, state):
        super().__init__()
        for key, value in state.items():
            *path, leaf = key.split(".")
            module = self
            for name in path:
                if name not in dict(module.named_children()):
                    module.add_module(name, torch.nn.Module())
                module = getattr(module, name)
            module.register_buffer(leaf, value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def write(tmp_path, how, state):
    path = tmp_path / f"weights{'.safetensors' if how == 'safetensors' else '.pth'}"
    if how == "safetensors":
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    elif how == "torchscript":
        torch.jit.script(_Holder(state)).save(str(path))
    elif how == "bare":
        torch.save(state, path)
    else:
        torch.save({how: state, "epoch": 3}, path)
    return path


@pytest.mark.parametrize(
    ("model", "convert", "how"),
    [
        ("vit_tiny_patch16_224", lambda vit: vit.state_dict(), "safetensors"),
        ("vit_tiny_patch16_224", lambda vit: vit.state_dict(), "model"),
        ("deit3_base_patch16_224", lambda vit: vit.state_dict(), "bare"),
        (DINOV2, as_dinov2, "bare"),
        (REG4, as_dinov2, "bare"),
        (GIANT, as_dinov2, "bare"),
        (DINOV2, lambda vit: {f"backbone.{k}": v for k, v in as_dinov2(vit).items()}, "teacher"),
        (DINOV2, as_dinov2_teacher, "teacher"),
        # The distilled files of Denoising-ViT.
        (DINOV2, lambda vit: {f"model.{k}": v for k, v in vit.state_dict().items()}, "model"),
        (CLIP, as_openai_clip, "torchscript"),
        (CLIP, as_openai_clip, "safetensors"),
        (CLIP, lambda v: {f"module.{k}": t for k, t in as_openai_clip(v).items()}, "state_dict"),
        (CLIP, as_visual_tower, "bare"),
    ],
)
@torch.no_grad()
def test_every_format_gives_the_same_features(tmp_path, model, convert, how):
    vit = reference(model)
    path = write(tmp_path, how, convert(vit))
    loaded = create_vit(model, checkpoint=path, model_kwargs=SMALL)
    x = torch.randn(2, 3, *(2 * p for p in vit.patch_embed.patch_size))
    expected = vit.forward_features(x)
    # Folding the position of CLS into its token rounds; everything else is copied.
    torch.testing.assert_close(loaded.forward_features(x), expected, rtol=1e-5, atol=1e-5)


def test_the_real_file_keeps_its_features_and_drops_its_classifier(tiny_weights, photos):
    backbone = TimmViT("vit_tiny_patch16_224", checkpoint=tiny_weights)
    vit = timm.create_model("vit_tiny_patch16_224", checkpoint_path=str(tiny_weights)).eval()
    with torch.no_grad():
        options = {"indices": [11], "norm": True, "intermediates_only": True}
        expected = vit.forward_intermediates(photos(224), **options)[0]
        assert torch.equal(backbone(photos(224))[0], expected)


def test_local_dir_in_timms_layout(tmp_path):
    vit = reference("vit_tiny_patch16_224")
    save_file(vit.state_dict(), tmp_path / "model.safetensors")
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 0,
        "model_args": SMALL,
        "pretrained_cfg": {"input_size": [3, 224, 224], "mean": [0.5] * 3, "std": [0.5] * 3},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    backbone = TimmViT(f"local-dir:{tmp_path}", pretrained=True)
    x = torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        expected = vit.forward_intermediates(x, [1], norm=True, intermediates_only=True)[0]
        assert torch.equal(backbone(x)[0], expected)


def test_position_embedding_of_another_size_is_resampled(tmp_path):
    path = write(tmp_path, "bare", reference("vit_tiny_patch16_224", img_size=96).state_dict())
    loaded = create_vit("vit_tiny_patch16_224", checkpoint=path, model_kwargs=SMALL)
    assert loaded.pos_embed.shape == (1, 197, 32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda vit: {k: v for k, v in vit.items() if "blocks.1" not in k}, r"missing \(1\d\): bl"),
        (lambda vit: vit | {"extra.weight": torch.ones(2)}, r"not part of the model \(1\): extra"),
        (
            lambda vit: vit | {"norm.weight": torch.ones(3)},
            r"other shape \(1\): norm.weight \(3,\) instead of \(32,\)",
        ),
        (lambda vit: [1, 2], "holds a list: expected a state dict"),
        (lambda vit: {}, "expected a state dict"),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path, content, message):
    path = tmp_path / "other.pth"
    torch.save(content(dict(reference("vit_tiny_patch16_224").state_dict())), path)
    with pytest.raises(ValueError, match=message):
        create_vit("vit_tiny_patch16_224", checkpoint=path, model_kwargs=SMALL)


def stored(vit, prefix="", **changed):
    return {f"{prefix}{key}": value for key, value in {**vit.state_dict(), **changed}.items()}


@pytest.mark.parametrize(
    ("theirs", "model", "message"),
    [
        ({"patch_size": 8, "img_size": 112}, {}, r"its patches have 8 x 8 pixels, those of vit_ti"),
        ({"depth": 3}, {}, "it has 3 blocks, vit_tiny_patch16_224 has 2"),
        ({"embed_dim": 48}, {}, "it has 48 channels, vit_tiny_patch16_224 has 32"),
        ({"reg_tokens": 4}, {}, r"it has 4 trained registers \(reg_token\), .* has none"),
        ({}, {"reg_tokens": 1}, "it has no trained registers .* has 1"),
        ({"init_values": 1.0}, {}, "it has LayerScale, vit_tiny_patch16_224 lacks it"),
        (
            {},
            {"no_embed_class": True},
            "no_embed_class|197 positions|convert",
        ),
    ],
)
def test_a_misfit_names_its_reason(tmp_path, theirs, model, message):
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, **SMALL | theirs)
    torch.save(vit.state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match=message):
        create_vit(
            "vit_tiny_patch16_224", checkpoint=tmp_path / "other.pth", model_kwargs=SMALL | model
        )


@pytest.mark.parametrize(
    "name", ["beit.encoder.layer.0.lambda_1", "layers.0.ln1.w", "module.denoiser.norm1.weight"]
)
def test_other_libraries_layouts_are_named(tmp_path, name):
    torch.save({name: torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(
        InputError, match=r"layout of (Hugging Face|OpenMMLab)|denoiser of Denoising-ViT"
    ):
        create_vit("vit_tiny_patch16_224", checkpoint=tmp_path / "other.pth")


@torch.no_grad()
def test_of_two_backbones_the_named_one_is_taken(tmp_path):
    teacher, student = (reference("vit_tiny_patch16_224") for _ in range(2))
    student.norm.bias.add_(1)
    held = {
        "student": stored(student, "module.backbone.")
        | {"module.head.mlp.0.weight": torch.ones(2)},
        "teacher": stored(teacher, "backbone._orig_mod."),
        "args": argparse.Namespace(lr=1),
        "loss": np.float64(3.0),
    }
    torch.save(held, tmp_path / "both.pth")
    options = {"checkpoint": tmp_path / "both.pth", "model_kwargs": SMALL}
    with pytest.raises(InputError, match=r"2 .*'student.module.backbone' and 'teacher.backbone'"):
        create_vit("vit_tiny_patch16_224", **options)
    for prefix, vit in (("teacher.backbone.", teacher), ("student.module.backbone", student)):
        loaded = create_vit("vit_tiny_patch16_224", **options, checkpoint_prefix=prefix)
        assert torch.equal(loaded.norm.bias, vit.norm.bias)
    with pytest.raises(InputError, match=r"unknown checkpoint_prefix 'teachr.*Did you mean"):
        create_vit("vit_tiny_patch16_224", **options, checkpoint_prefix="teachr.backbone")


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_value_that_is_no_number_is_named(tmp_path, value):
    vit = reference("vit_tiny_patch16_224")
    vit.blocks[1].mlp.fc1.weight.data[3, :2] = value
    torch.save(vit.state_dict(), tmp_path / "bad.pth")
    with pytest.raises(InputError, match=r"1 of \d+ .*: blocks.1.mlp.fc1.weight \(2 of 4096\)"):
        create_vit("vit_tiny_patch16_224", checkpoint=tmp_path / "bad.pth", model_kwargs=SMALL)


def test_a_classifier_of_other_classes_takes_the_tag_away(tmp_path):
    vit = reference("vit_tiny_patch16_224")
    head = {"head.weight": torch.ones(10, 32), "head.bias": torch.ones(10)}
    torch.save(stored(vit, **head), tmp_path / "tuned.pth")
    tag = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    tuned = create_vit(tag, checkpoint=tmp_path / "tuned.pth", model_kwargs=SMALL)
    assert model_name(tuned) == "vit_tiny_patch16_224"
    torch.save(vit.state_dict(), tmp_path / "plain.pth")
    assert model_name(create_vit(tag, checkpoint=tmp_path / "plain.pth", model_kwargs=SMALL)) == tag


def test_openais_clip_without_quickgelu_is_refused(tmp_path):
    state = as_openai_clip(reference(CLIP)) | dict.fromkeys(OPENAI, torch.tensor(1))
    torch.save(state, tmp_path / "clip.pt")
    create_vit(CLIP, checkpoint=tmp_path / "clip.pt", model_kwargs=SMALL)
    with pytest.raises(InputError, match=r"was trained with QuickGELU.* has GELU"):
        create_vit("vit_base_patch16_clip_224", checkpoint=tmp_path / "clip.pt", model_kwargs=SMALL)


def test_local_dir_with_weights_of_another_patch_is_refused(tmp_path):
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, patch_size=32, **SMALL)
    save_file(vit.state_dict(), tmp_path / "model.safetensors")
    config = {"architecture": "vit_tiny_patch16_224", "model_args": SMALL, "pretrained_cfg": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="its patches have 32 x 32 pixels"):
        create_vit(f"local-dir:{tmp_path}", pretrained=True)


def test_a_corrupt_file_is_named(tmp_path):
    path = tmp_path / "broken.pth"
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match=r"broken.pth \(16 bytes\) is no readable checkpoint"):
        create_vit("vit_tiny_patch16_224", checkpoint=path)


def test_a_clip_file_does_not_fit_another_family(tmp_path):
    path = write(tmp_path, "bare", as_openai_clip(reference(CLIP)))
    with pytest.raises(ValueError, match=r"does not (hold the weights of|fit) vit_small_patch14"):
        create_vit(DINOV2, checkpoint=path, model_kwargs=SMALL)
