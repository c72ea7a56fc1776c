"""Weight files of Hugging Face transformers, renamed to the names of their publishers.

DINOv2, DINOv2 with registers, DINOv3, CLIP, SigLIP and ViT (also DeiT, DINO and MAE), as
`save_pretrained` writes them and as transformers 5 names them in memory. DINOv2, DINOv3 and CLIP
get the names of the authors' own files, which timm converts; SigLIP and ViT those of timm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# What every such file has under its prefix.
EMBEDDING = r"embeddings\.patch_embeddings?(?:\.projection)?\.weight"
_BLOCK = re.compile(r"(?:encoder\.|model\.)?layers?\.(\d+)\.(.+)")
_QUERY_KEY_VALUE = re.compile(
    r"(?:attention\.attention|attention|self_attn)\.(query|key|value|[qkv]_proj)\.(weight|bias)"
)
_IN_BLOCK = [
    (r"^(attention\.output\.dense|attention\.o_proj|self_attn\.out_proj)\.", "attn.proj."),
    (r"^(layernorm_before|layer_norm1|norm1)\.", "norm1."),
    (r"^(layernorm_after|layer_norm2|norm2)\.", "norm2."),
    (r"^layer_scale([12])\.lambda1$", r"ls\1.gamma"),
    (r"^intermediate\.dense\.", "mlp.fc1."),
    (r"^output\.dense\.", "mlp.fc2."),
    (r"^mlp\.weights_in\.", "mlp.w12."),
    (r"^mlp\.weights_out\.", "mlp.w3."),
]
_OUTSIDE = [
    (r"^embeddings\.(cls_token|mask_token|register_tokens)$", r"\1"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
    (r"^embeddings\.class_embedding$", "cls_token"),
    (r"^embeddings\.patch_embeddings?(\.projection)?\.", "patch_embed.proj."),
    (r"^pre_layrnorm\.", "norm_pre."),
    (r"^(layernorm|post_layernorm|norm)\.", "norm."),
    (r"^head\.probe$", "attn_pool.latent"),
    (r"^head\.attention\.out_proj\.", "attn_pool.proj."),
    (r"^head\.layernorm\.", "attn_pool.norm."),
    (r"^head\.mlp\.", "attn_pool.mlp."),
]
# A layer for the CLS token, which was not pretrained, and row numbers.
_LEFT_OUT = re.compile(r"pooler\.|embeddings\.position_ids$")


def is_hugging_face(state: Mapping[str, Tensor]) -> bool:
    """Whether tensors, without the prefix of their model, have the names of transformers."""
    return any(re.fullmatch(EMBEDDING, key) for key in state)


def publishers_names(
    state: Mapping[str, Tensor], beside: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Rename the tensors of a model of transformers.

    Args:
        state: the model's, without its prefix.
        beside: what lies beside the model: CLIP's projection, the classifier of a ViT.

    Returns:
        What the authors of the model would have published, or timm.
    """
    renamed: dict[str, Tensor] = {}
    parts: dict[tuple[str, str], dict[str, Tensor]] = {}  # (block, weight or bias) -> q, k, v
    for key, tensor in state.items():
        block = _BLOCK.fullmatch(key)
        if block is None:
            if not _LEFT_OUT.match(key):
                renamed |= _outside(key, tensor)
            continue
        number, name = block.groups()
        part = _QUERY_KEY_VALUE.fullmatch(name)
        if part is None:
            renamed[f"blocks.{number}.{_substituted(name, _IN_BLOCK)}"] = tensor
        else:
            parts.setdefault((number, part[2]), {})[part[1][0]] = tensor
    for (number, kind), qkv in parts.items():
        renamed[f"blocks.{number}.attn.qkv.{kind}"] = _stacked(qkv)
    if "blocks.0.ls1.gamma" not in renamed and "classifier.weight" in beside:
        # DINOv2's classifies CLS and the mean of the patches, which is no head of timm.
        renamed |= {f"head.{kind}": beside[f"classifier.{kind}"] for kind in ("weight", "bias")}
    if "embeddings.class_embedding" in state:
        return _as_openai(renamed, beside.get("visual_projection.weight"))
    return _as_dinov3(renamed) if "embeddings.patch_embeddings.weight" in state else _gated(renamed)


def _outside(key: str, tensor: Tensor) -> dict[str, Tensor]:
    """Rename what is in no block; the pool's query, key and value are taken apart as in timm."""
    if key.startswith("head.attention.in_proj_"):
        kind = key.removeprefix("head.attention.in_proj_")
        query, rest = tensor[: len(tensor) // 3], tensor[len(tensor) // 3 :]
        return {f"attn_pool.q.{kind}": query, f"attn_pool.kv.{kind}": rest}
    name = _substituted(key, _OUTSIDE)
    if name == "cls_token":
        tensor = tensor.reshape(1, 1, -1)
    return {name: tensor[None] if name == "pos_embed" and tensor.ndim == 2 else tensor}


def _stacked(qkv: Mapping[str, Tensor]) -> Tensor:
    """Put query, key and value together; a bias that there is none of is zero."""
    like = next(iter(qkv.values()))
    return torch.cat([qkv.get(part, torch.zeros_like(like)) for part in "qkv"])


def _as_openai(state: Mapping[str, Tensor], projection: Tensor | None) -> dict[str, Tensor]:
    """The visual tower as OpenAI names it, which timm recognises."""
    names = [
        (r"^patch_embed\.proj\.", "conv1."),
        (r"^norm_pre\.", "ln_pre."),
        (r"^norm\.", "ln_post."),
        (r"^pos_embed$", "positional_embedding"),
        (r"^cls_token$", "class_embedding"),
        (r"^blocks\.(\d+)\.norm", r"transformer.resblocks.\1.ln_"),
        (r"^blocks\.(\d+)\.attn\.qkv\.", r"transformer.resblocks.\1.attn.in_proj_"),
        (r"^blocks\.(\d+)\.attn\.proj\.", r"transformer.resblocks.\1.attn.out_proj."),
        (r"^blocks\.(\d+)\.mlp\.fc1\.", r"transformer.resblocks.\1.mlp.c_fc."),
        (r"^blocks\.(\d+)\.mlp\.fc2\.", r"transformer.resblocks.\1.mlp.c_proj."),
    ]
    renamed = {f"visual.{_substituted(key, names)}": value for key, value in state.items()}
    for key in ("visual.class_embedding", "visual.positional_embedding"):
        renamed[key] = renamed[key].squeeze()
    return renamed if projection is None else renamed | {"visual.proj": projection.T}


def _as_dinov3(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """DINOv3's own file: `storage_tokens`, and the three matrices of a gated MLP by number."""
    gated = any(key.endswith("mlp.gate_proj.weight") for key in state)
    up, down = ("mlp.w2.", "mlp.w3.") if gated else ("mlp.fc1.", "mlp.fc2.")
    names = [
        (r"^register_tokens$", "storage_tokens"),
        (r"mlp\.gate_proj\.", "mlp.w1."),
        (r"mlp\.up_proj\.", up),
        (r"mlp\.down_proj\.", down),
    ]
    return {_substituted(key, names): value for key, value in state.items()}


def _gated(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put gate and up of a gated MLP together, which transformers 5 holds apart in memory."""
    for key in [key for key in state if ".mlp.gate_proj." in key]:
        parts = [state.pop(key), state.pop(key.replace("gate_proj", "up_proj"))]
        state[key.replace("gate_proj", "w12")] = torch.cat(parts)
    return {key.replace(".mlp.down_proj.", ".mlp.w3."): value for key, value in state.items()}


def _substituted(name: str, rules: list[tuple[str, str]]) -> str:
    """Apply the first rule that fits."""
    for pattern, replacement in rules:
        changed, count = re.subn(pattern, replacement, name)
        if count:
            return changed
    return name
