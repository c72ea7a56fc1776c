"""Options of tiny towers of transformers: three blocks, two heads, 4 x 4 patches."""

BASE = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
MLP = {"intermediate_size": 24}
RATIO = {"mlp_ratio": 2, "layerscale_value": 1.0}
