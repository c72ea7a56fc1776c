"""Tiny towers of transformers: three blocks, two heads, 4 x 4 patches; their options, weights."""

import torch

BASE = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
MLP = {"intermediate_size": 24}
RATIO = {"mlp_ratio": 2, "layerscale_value": 1.0}
RGB32 = {"image_size": [32, 32], "patch_size": [8, 8]}
# model, config, options of it, tokens before the patches
TOWERS = {
    "vit": ("ViTModel", "ViTConfig", BASE | MLP, 1),
    "dinov2": ("Dinov2Model", "Dinov2Config", BASE | RATIO | {"use_swiglu_ffn": True}, 1),
    "dinov2_reg": (
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        BASE | RATIO | {"num_register_tokens": 2},
        3,
    ),
    "dinov3": (
        "DINOv3ViTModel",
        "DINOv3ViTConfig",
        BASE | MLP | {"num_register_tokens": 2, "layerscale_value": 1.0, "use_gated_mlp": True},
        3,
    ),
    "clip": ("CLIPVisionModel", "CLIPVisionConfig", BASE | MLP, 1),
    "siglip": ("SiglipVisionModel", "SiglipVisionConfig", BASE | MLP, 0),
    "internvl": (
        "InternVLVisionModel",
        "InternVLVisionConfig",
        BASE | MLP | RGB32 | {"layer_scale_init_value": 1.0, "use_qk_norm": True},
        1,
    ),
}


def random_weights(model, seed=0):
    """Weights large enough for every part to matter, also where an init is zeros."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.ndim > 1 or parameter.numel() > 1:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()
