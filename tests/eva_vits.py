"""Small random ViTs of timm's `Eva`, one of each way to be different."""

from __future__ import annotations

import pytest
import timm
import torch

NARROW = {"embed_dim": 32, "depth": 4, "num_heads": 2, "img_size": 64}
SCALED = {"init_values": 1.0}  # LayerScale that hides nothing
KINDS = {
    # trained registers, RoPE alone, no biases
    "dinov3": ("vit_small_patch16_dinov3", SCALED),
    # the same with biases of queries and values, and a gated MLP
    "gated": ("vit_small_plus_patch16_dinov3", {**SCALED, "qkv_bias": True}),
    # positions and RoPE of a reference grid, biases apart, GluMlp
    "eva02": ("eva02_tiny_patch14_224", {"patch_size": 16, "mlp_ratio": 2.0}),
    # unfused, a norm in attention and in the MLP before its second linear layer
    "normed": ("eva02_base_patch16_clip_224", {"mlp_ratio": 2.0, "num_classes": 512}),
    # positions without RoPE
    "eva": ("eva_giant_patch14_224", {"patch_size": 16, "num_classes": 5}),
    # a norm before the blocks, and attention pooling over the prefix too
    "pooled": ("vit_pe_core_tiny_patch16_384", {"attn_pool_num_heads": 2, "num_classes": 512}),
    # a table of its own in each block and head, positions of patches alone
    "mixed": ("vit_small_patch16_rope_mixed_ape_224", {**SCALED, "num_classes": 5}),
    # no CLS, one trained register
    "no_cls": ("vit_medium_patch16_rope_reg1_gap_256", {**SCALED, "num_classes": 5}),
    # heads of keys and values that queries share in some blocks, normed; GluMlp
    "grouped": ("vit_base_patch16_sapiens2", {**SCALED, "num_kv_heads": (2, 1, 1, 2)}),
}


@pytest.fixture(scope="session")
def make_eva():
    """Make one of `KINDS`, whose every parameter is random."""

    def make(kind="dinov3", seed=0, **kwargs):
        name, options = KINDS[kind]
        if not timm.is_model(name):
            pytest.skip(f"this timm has no {name}")
        torch.manual_seed(seed)
        options = NARROW | {"num_classes": 0, "dynamic_img_size": True} | options | kwargs
        return randomised(timm.create_model(name, **options).eval())

    return make


@torch.no_grad()
def randomised(vit):
    """Draw what timm begins with zeros or ones: biases, norms, tokens and positions."""
    for name, parameter in vit.named_parameters():
        if "rope" in name or "gamma" in name:
            continue
        if parameter.ndim == 1:
            parameter.add_(torch.randn_like(parameter) * 0.1)
        elif parameter.ndim == 3:
            parameter.normal_(std=0.5)
        else:
            parameter.normal_(std=parameter[0].numel() ** -0.5)
    return vit
