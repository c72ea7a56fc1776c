"""Files of transformers' `save_pretrained`, compared with the model of transformers itself."""

from __future__ import annotations

import json

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.vits.create import create_vit
from ttr_backbones.vits.family import family_of

transformers = pytest.importorskip("transformers")

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WIDE = {**SIZE, "intermediate_size": 128}
SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2}
GRID = {14: {"image_size": 42, "patch_size": 14}, 16: {"image_size": 48, "patch_size": 16}}


def clip(act="quick_gelu"):
    return transformers.CLIPVisionConfig(**WIDE, **GRID[16], projection_dim=16, hidden_act=act)


def dinov2(**kwargs):
    return transformers.Dinov2Config(**SIZE, mlp_ratio=4, **GRID[14], **kwargs)


def registers():
    return transformers.Dinov2WithRegistersConfig(
        **SIZE, mlp_ratio=4, **GRID[14], num_register_tokens=4
    )


def siglip():
    return transformers.SiglipVisionConfig(**WIDE, **GRID[16], hidden_act="gelu")


def vit():
    return transformers.ViTConfig(**WIDE, **GRID[16], num_labels=3, layer_norm_eps=1e-6)


# class of transformers, its config, timm's name, arguments of the timm model.
MODELS = {
    "dinov2": ("Dinov2Model", dinov2, "vit_small_patch14_dinov2", {}),
    "dinov2 with a head": (
        "Dinov2ForImageClassification",
        dinov2,
        "vit_small_patch14_dinov2",
        {},
    ),
    "dinov2 swiglu": (
        "Dinov2Model",
        lambda: dinov2(use_swiglu_ffn=True),
        "vit_giant_patch14_dinov2",
        {"mlp_ratio": 176 / 32},  # transformers rounds the width to a multiple of 8
    ),
    "dinov2 registers": (
        "Dinov2WithRegistersModel",
        registers,
        "vit_small_patch14_reg4_dinov2",
        {},
    ),
    "clip": (
        "CLIPVisionModelWithProjection",
        clip,
        "vit_base_patch16_clip_quickgelu_224",
        {"num_classes": 16},
    ),
    "siglip": ("SiglipVisionModel", siglip, "vit_base_patch16_siglip_224", {}),
    "vit": ("ViTForImageClassification", vit, "vit_base_patch16_224", {"num_classes": 3}),
}


def random_model(kind):
    """A model of transformers with every parameter random, biases and LayerScale too."""
    name, config, *_ = MODELS[kind]
    torch.manual_seed(0)
    model = getattr(transformers, name)(config()).eval()
    for key, parameter in model.named_parameters():
        parameter.data = torch.randn(parameter.shape) / 5 + ("lambda" in key or "norm" in key)
    return model


def vit_from(kind, path):
    _, _, name, kwargs = MODELS[kind]
    side = 42 if "patch14" in name else 48
    return create_vit(name, checkpoint=path, model_kwargs={**SMALL, "img_size": side, **kwargs})


@pytest.mark.parametrize("kind", MODELS)
@torch.no_grad()
def test_file__gives_the_features_of_the_model_that_wrote_it(kind, tmp_path):
    model = random_model(kind)
    model.save_pretrained(tmp_path)
    loaded = vit_from(kind, tmp_path / "model.safetensors")
    family, images = (
        family_of(loaded),
        torch.randn(2, 3, *family_of(loaded).facts(loaded).image_size),
    )
    backbone = getattr(model, model.base_model_prefix, model)
    backbone = getattr(backbone, "vision_model", backbone)
    out = backbone(images)
    last = out.last_hidden_state
    if kind == "clip":  # transformers norms CLS alone
        last = model.vision_model.post_layernorm(last)
    tokens = family.final_tokens(loaded, images)
    torch.testing.assert_close(tokens, last, rtol=1e-5, atol=1e-5)
    if kind == "clip":
        torch.testing.assert_close(loaded(images), model(images).image_embeds)
    elif kind == "siglip":
        torch.testing.assert_close(loaded(images), out.pooler_output, rtol=1e-5, atol=1e-5)
    elif kind == "vit":
        torch.testing.assert_close(loaded(images), model(images).logits, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_names__in_memory_and_of_whole_models_are_the_same(tmp_path):
    """transformers 5 has other names in memory than in files; towers lie inside other models."""
    for kind, prefix in (
        ("dinov2 swiglu", ""),
        ("clip", "vision_tower."),
        ("siglip", "vision_model."),
    ):
        model = random_model(kind)
        model.save_pretrained(tmp_path)
        from_file = vit_from(kind, tmp_path / "model.safetensors")
        held = {f"{prefix}{key}": value for key, value in model.state_dict().items()}
        torch.save(
            {"model": held, "text_model.embeddings.weight": torch.ones(2)}, tmp_path / "a.pt"
        )
        state = vit_from(kind, tmp_path / "a.pt").state_dict()
        assert all(torch.equal(state[key], value) for key, value in from_file.state_dict().items())


def test_config_beside_the_file__tells_activation_and_heads(tmp_path):
    random_model("clip").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    options = {"checkpoint": path, "model_kwargs": {**SMALL, "img_size": 48}}
    with pytest.raises(InputError, match=r"config.json beside it says QuickGELU.* has GELU"):
        create_vit("vit_base_patch16_clip_224", **options)
    four = {"checkpoint": path, "model_kwargs": {**SMALL, "img_size": 48, "num_heads": 4}}
    with pytest.raises(InputError, match=r"says 2 heads, and vit_base\S+ has 4"):
        create_vit("vit_base_patch16_clip_quickgelu_224", **four)
    path.rename(tmp_path / "open_clip_model.safetensors")
    told = {"model_cfg": {"quick_gelu": True}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"open_clip_config.json beside it says QuickGELU"):
        create_vit(
            "vit_base_patch16_clip_224",
            **options | {"checkpoint": path.with_stem("open_clip_model")},
        )


def test_misfit__names_the_architecture_of_the_file(tmp_path):
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=384, num_hidden_layers=1, num_attention_heads=6, image_size=70, patch_size=14
    )
    model = transformers.Dinov2WithRegistersModel(config)
    further = {f"encoder.layer.{i}.norm1.weight": torch.ones(384) for i in range(1, 12)}
    torch.save(model.state_dict() | further, tmp_path / "small.pth")
    with pytest.raises(InputError, match=r"384 channels.*It fits vit_small_patch14_reg4_dinov2\.$"):
        create_vit("vit_base_patch14_dinov2", checkpoint=tmp_path / "small.pth", model_kwargs=SMALL)
