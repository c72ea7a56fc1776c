"""Files of DINOv3, Perception Encoder, EVA-02 and open_clip for timm's `Eva`, by official names."""

from __future__ import annotations

import re

import pytest
import timm
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.vits.create import create_vit
from ttr_backbones.vits.family import family_of

SMALL = {"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": 48}
DINOV3, PLUS = "vit_small_patch16_dinov3", "vit_small_plus_patch16_dinov3"
PE, EVA02 = "vit_pe_core_base_patch16_224", "eva02_base_patch14_224"
EVA_CLIP = "eva02_base_patch16_clip_224"


def reference(model, **kwargs):
    """A random model to publish, every parameter non-trivial."""
    generator = torch.Generator().manual_seed(0)
    options = SMALL | {"img_size": 42 if "patch14" in model else 48} | kwargs
    vit = timm.create_model(model, num_classes=0, **options)
    for parameter in vit.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 5
    return vit.eval()


def renamed(state, rules):
    for pattern, name in rules:
        state = {re.sub(pattern, name, key): value for key, value in state.items()}
    return state


def as_dinov3(vit):
    """`dinov3_*_pretrain_*.pth`: one qkv bias with a mask, registers called storage tokens."""
    rules = [
        (r"^reg_token$", "storage_tokens"),
        (r"gamma_([12])$", r"ls\1.gamma"),
        (r"mlp\.fc1_g\.", "mlp.w1."),
        (r"mlp\.fc1_x\.", "mlp.w2."),
    ]
    if hasattr(vit.blocks[0].mlp, "fc1_g"):
        rules.append((r"mlp\.fc2\.", "mlp.w3."))
    state = renamed(dict(vit.state_dict()), rules)
    state |= {"mask_token": torch.zeros(1, 32), "rope_embed.periods": torch.ones(4)}
    for index in range(len(vit.blocks)):
        name = f"blocks.{index}.attn."
        query = state.pop(f"{name}q_bias", torch.zeros(32))
        value = state.pop(f"{name}v_bias", torch.zeros(32))
        state[f"{name}qkv.bias"] = torch.cat([query, torch.full((32,), float("nan")), value])
        state[f"{name}qkv.bias"][32:64] = 0
        state[f"{name}qkv.bias_mask"] = torch.ones(96)
    return state


def as_dinov3_teacher(vit):
    """A training checkpoint: heads, blocks in the chunks of FSDP."""
    state = {f"backbone.{key}": value for key, value in as_dinov3(vit).items()}
    state = renamed(state, [(r"blocks\.(\d+)\.", r"blocks.0.\1.")])
    return {"teacher": state | {"dino_head.mlp.0.weight": torch.ones(3, 3)}}


def as_perception_encoder(vit):
    """`PE-Core-*.pt`: both towers, packed query, key and value, a pool of its own."""
    state = renamed(
        dict(vit.state_dict()),
        [
            (r"^patch_embed\.proj\.", "conv1."),
            (r"^pos_embed$", "positional_embedding"),
            (r"^cls_token$", "class_embedding"),
            (r"^norm_pre\.", "ln_pre."),
            (r"^norm\.", "ln_post."),
            (r"^blocks\.(\d+)\.norm", r"transformer.resblocks.\1.ln_"),
            (r"^blocks\.(\d+)\.attn\.qkv\.", r"transformer.resblocks.\1.attn.in_proj_"),
            (r"^blocks\.(\d+)\.attn\.proj\.", r"transformer.resblocks.\1.attn.out_proj."),
            (r"^blocks\.(\d+)\.mlp\.fc1\.", r"transformer.resblocks.\1.mlp.c_fc."),
            (r"^blocks\.(\d+)\.mlp\.fc2\.", r"transformer.resblocks.\1.mlp.c_proj."),
            (r"^attn_pool\.latent$", "attn_pool.probe"),
            (r"^attn_pool\.norm\.", "attn_pool.layernorm."),
            (r"^attn_pool\.proj\.", "attn_pool.attn.out_proj."),
            (r"^attn_pool\.mlp\.fc1\.", "attn_pool.mlp.c_fc."),
            (r"^attn_pool\.mlp\.fc2\.", "attn_pool.mlp.c_proj."),
        ],
    )
    for kind in ("weight", "bias"):
        parts = (state.pop(f"attn_pool.q.{kind}"), state.pop(f"attn_pool.kv.{kind}"))
        state[f"attn_pool.attn.in_proj_{kind}"] = torch.cat(parts)
    for key in ("class_embedding", "positional_embedding"):
        state[key] = state[key].squeeze()
    text = {
        "positional_embedding": torch.randn(7, 8),
        "transformer.resblocks.0.ln_1.weight": torch.ones(8),
        "token_embedding.weight": torch.randn(11, 8),
        "logit_scale": torch.tensor(4.6),
    }
    return {f"visual.{key}": value for key, value in state.items()} | text


def as_eva02(vit):
    """`eva02_*_pt_*.pt`: tables of RoPE in every block, a head for masked image modelling."""
    state = renamed(
        dict(vit.state_dict()),
        [
            (r"attn\.([qv])_proj\.bias$", r"attn.\1_bias"),
            (r"mlp\.fc1_g\.", "mlp.w1."),
            (r"mlp\.fc1_x\.", "mlp.w2."),
            (r"mlp\.fc2\.", "mlp.w3."),
            (r"mlp\.norm\.", "mlp.ffn_ln."),
            (r"^fc_norm\.", "norm."),
        ],
    )
    state |= {"mask_token": torch.zeros(1, 1, 32), "lm_head.weight": torch.ones(5, 32)}
    tables = {f"blocks.0.attn.rope.freqs_{name}": torch.ones(3, 3) for name in ("cos", "sin")}
    return {"module": state | tables}


def as_open_clip(vit):
    """A model of timm in open_clip: its trunk, and the text tower."""
    trunk = {f"visual.trunk.{key}": value for key, value in vit.state_dict().items()}
    return trunk | {"text.token_embedding.weight": torch.ones(3, 3), "logit_scale": torch.ones(())}


@pytest.mark.parametrize(
    ("model", "convert"),
    [
        (DINOV3, as_dinov3),
        (f"{DINOV3}_qkvb", as_dinov3),
        (PLUS, as_dinov3),
        (f"{DINOV3}_qkvb", as_dinov3_teacher),
        (PE, as_perception_encoder),
        (EVA02, as_eva02),
        (EVA_CLIP, as_open_clip),
    ],
)
@torch.no_grad()
def test_every_format_gives_the_same_features(tmp_path, model, convert):
    vit = reference(model)
    torch.save(convert(vit), tmp_path / "file.bin")  # known by its content
    kwargs = SMALL | {"img_size": vit.patch_embed.img_size}
    loaded = create_vit(model, checkpoint=tmp_path / "file.bin", model_kwargs=kwargs)
    x = torch.randn(2, 3, *vit.patch_embed.img_size)
    assert torch.equal(loaded.forward_features(x), vit.forward_features(x))


def test_a_bias_that_has_no_place_is_refused(tmp_path):
    torch.save(as_dinov3(reference(f"{DINOV3}_qkvb")), tmp_path / "bias.pth")
    with pytest.raises(InputError, match=r"qkv.bias of the file is not zero.*_qkvb"):
        create_vit(DINOV3, checkpoint=tmp_path / "bias.pth", model_kwargs=SMALL)


@pytest.mark.parametrize(("gated", "model"), [(False, f"{DINOV3}_qkvb"), (True, f"{PLUS}_qkvb")])
@torch.no_grad()
def test_dinov3_of_transformers(tmp_path, gated, model):
    transformers = pytest.importorskip("transformers")
    config = transformers.DINOv3ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        use_gated_mlp=gated,
        hidden_act="silu" if gated else "gelu",
        num_register_tokens=4,
    )
    torch.manual_seed(0)
    theirs = transformers.DINOv3ViTModel(config).eval()
    for key, parameter in theirs.named_parameters():
        parameter.data = torch.randn(parameter.shape) / 5 + ("lambda" in key or "norm" in key)
    theirs.save_pretrained(tmp_path)
    loaded = create_vit(model, checkpoint=tmp_path / "model.safetensors", model_kwargs=SMALL)
    x = torch.randn(2, 3, 48, 64)
    tokens = family_of(loaded).final_tokens(loaded, x)
    torch.testing.assert_close(tokens, theirs(x).last_hidden_state, rtol=1e-5, atol=1e-5)
