"""Parts of a vision tower of transformers by their role, wherever a release keeps them.

Modules move and change their names from one release to the next (`encoder.layer`, `layers`,
`model.layer`; `attention.attention.query`, `attention.q_proj`), so nothing here is a fixed path.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from torch import Tensor, nn

from ttr_backbones.errors import InputError

KNOWN = {
    "ViTEmbeddings": "ViTModel",
    "Dinov2Embeddings": "Dinov2Model",
    "Dinov2WithRegistersEmbeddings": "Dinov2WithRegistersModel",
    "DINOv3ViTEmbeddings": "DINOv3ViTModel",
    "CLIPVisionEmbeddings": "CLIPVisionModel",
    "SiglipVisionEmbeddings": "SiglipVisionModel",
    "InternVLVisionEmbeddings": "InternVLVisionModel",
}
"""The modules that put a sequence together as is known here, and whose they are."""

_REFUSED = {
    "Siglip2VisionEmbeddings": "it takes patches with a mask of padding (NaFlex), which knows no "
    "further token: use a checkpoint of SigLIP2 for one size (as google/siglip2-base-patch16-224), "
    "which is a SiglipVisionModel",
    "ViTMAEEmbeddings": "it drops patches at random: load the checkpoint as a ViTModel",
    "DeiTEmbeddings": "it has a distillation token, behind which a register has no place",
    "BeitEmbeddings": "its attention has a bias for each pair of patches, which knows no further "
    "token",
    "Aimv2VisionEmbeddings": "it resamples no positions: use timm's aimv2_* models",
}


def is_pretrained_model(model: Any) -> bool:
    """Whether `model` is one of transformers, which need not be imported to know."""
    return any(
        cls.__name__ == "PreTrainedModel" and cls.__module__ == "transformers.modeling_utils"
        for cls in type(model).__mro__
    )


def tower(model: Any) -> Any:
    """Find the module of `model`, or `model`, that holds `embeddings` and the blocks.

    Raises:
        InputError: there is none that is known, or more than one.
    """
    found, waiting = [], [model]
    while waiting:
        module = waiting.pop()
        if _embeds_patches(getattr(module, "embeddings", None)):
            found.append(module)
        elif not isinstance(module, nn.ModuleList):
            waiting += list(module.children())
    kind = type(model).__name__
    if not found:
        raise InputError(
            f"{kind} has no vision tower that is known here: expected one of "
            f"{', '.join(KNOWN.values())}, or a model with one of them inside"
        )
    if len(found) > 1:
        raise InputError(
            f"{kind} has {len(found)} vision towers: expected one. Give the tower that is meant"
        )
    name = type(found[0].embeddings).__name__
    if name not in KNOWN:
        why = _REFUSED.get(name, "how it puts its sequence together is not known here")
        raise InputError(
            f"{kind} has {name}: {why}. What works: {', '.join(KNOWN.values())}, alone or inside "
            "another model"
        )
    return found[0]


def _embeds_patches(module: Any) -> bool:
    """Whether a module makes tokens of patches; those of texts have no convolution."""
    if not isinstance(module, nn.Module) or not type(module).__module__.startswith("transformers."):
        return False
    return type(module).__name__ in _REFUSED or any(
        isinstance(part, nn.Conv2d) for part in module.modules()
    )


def runner(vision: Any) -> tuple[Any, Any]:
    """Find the module that runs the blocks of a tower, which may be the tower; and the blocks."""
    waiting = [vision]
    while waiting:
        module = waiting.pop(0)
        children = list(module.children())
        lists = [each for each in children if isinstance(each, nn.ModuleList) and len(each)]
        if lists:
            return module, lists[0]
        waiting += [each for each in children if each is not vision.embeddings]
    raise InputError(f"{type(vision).__name__} has no blocks: expected a list of them")


def convolution(vision: Any) -> Any:
    """The convolution that embeds patches."""
    return next(part for part in vision.embeddings.modules() if isinstance(part, nn.Conv2d))


def positions(vision: Any) -> Tensor | None:
    """The table of positions as the checkpoint has it, [1, N, C]; None with RoPE alone."""
    embeddings = vision.embeddings
    table: Tensor | None = getattr(embeddings, "position_embeddings", None)
    if table is None and hasattr(embeddings, "position_embedding"):
        table = embeddings.position_embedding.weight.unsqueeze(0)
    return table


def cls_token(vision: Any) -> Tensor | None:
    """CLS before its position, [1, 1, C]."""
    token = part(vision.embeddings, "cls_token", "class_embedding")
    return None if token is None else token.view(1, 1, -1)


def trained_registers(vision: Any) -> Tensor | None:
    """Registers that the checkpoint was trained with, [1, R, C]; None without."""
    registers: Tensor | None = getattr(vision.embeddings, "register_tokens", None)
    return None if registers is None or not registers.shape[1] else registers


def num_prefix(vision: Any) -> int:
    """CLS and trained registers P."""
    registers = trained_registers(vision)
    return int(cls_token(vision) is not None) + (0 if registers is None else registers.shape[1])


def cls_apart(vision: Any) -> bool:
    """Whether CLS has a position and trained registers, which have none, stand behind it."""
    return positions(vision) is not None and trained_registers(vision) is not None


def interpolates(vision: Any) -> bool:
    """Whether `embeddings` resamples positions on request only."""
    names = ("ViTEmbeddings", "CLIPVisionEmbeddings", "SiglipVisionEmbeddings")
    return type(vision.embeddings).__name__ in names


def before_blocks(vision: Any, tokens: Tensor) -> Tensor:
    """CLIP's norm before the blocks, spelled as it is in the checkpoints."""
    norm = getattr(vision, "pre_layrnorm", None)
    return tokens if norm is None else norm(tokens)


def final_norm(vision: Any) -> Any:
    """The norm behind the blocks."""
    return part(vision, "layernorm", "norm", "post_layernorm")


def attention(block: Any) -> Any:
    """The module of a block whose input queries, keys and values are made of."""
    for module in block.modules():
        if part(module, "q_proj", "query") is not None:
            return module
    raise InputError(f"a {type(block).__name__} without an attention that is known here")


def projections(block: Any) -> tuple[Any, Any, Any]:
    """The linear layers that make queries, keys and values."""
    module = attention(block)
    names = (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"))
    query, key, value = (part(module, *either) for either in names)
    return query, key, value


def num_heads(block: Any) -> int:
    """Heads of queries, keys and values alike."""
    return int(part(attention(block), "num_heads", "num_attention_heads"))


def mlp(block: Any) -> Any:
    """What is given the tokens that the MLP of a block works on."""
    module = part(block, "mlp", "intermediate")
    if module is None or second_linear(block) is None:
        raise InputError(
            f"a {type(block).__name__} without an MLP that is known here: test-time registers need "
            "blocks with one standard MLP"
        )
    return module


def second_linear(block: Any) -> Any:
    """The second linear layer of the MLP of a block."""
    module = getattr(block, "mlp", None)
    if module is None:  # ViT of transformers 4: `intermediate` and `output`
        return getattr(getattr(block, "output", None), "dense", None)
    return part(module, "fc2", "down_proj", "weights_out")


def part(module: Any, *names: str) -> Any:
    """The first of some attributes that is there and not None."""
    found = (getattr(module, name, None) for name in names)
    return next((each for each in found if each is not None), None)


@functools.cache
def required_arguments(block: Any) -> tuple[str, ...]:
    """Names of the arguments beside the tokens without which a block cannot be called."""
    cls = next(
        c
        for c in block.__mro__
        if c.__module__.startswith("transformers.models.") and not vars(c).get("is_mixed")
    )
    _, _, *others = inspect.signature(cls.forward).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(p.name for p in others if p.default is p.empty and p.kind not in variadic)
