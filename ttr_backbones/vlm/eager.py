"""Attention maps exist in eager attention alone: it is switched on for one call, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from ttr_backbones.errors import InputError


def language_model(model: Any) -> Any:
    """The module of a vision-language model that holds the decoder's layers.

    Raises:
        InputError: none is known here.
    """
    inner = getattr(model, "model", model)
    found = getattr(inner, "language_model", None)
    if found is None or not getattr(found, "layers", None):
        raise InputError(
            f"{type(model).__name__} has no language_model with layers: expected a decoder behind "
            "its projector, as LLaVA, LLaVA-NeXT and InternVL have one"
        )
    return found


def attention_modules(model: Any) -> list[nn.Module]:
    """The attention of every layer of the language model, in order.

    Raises:
        InputError: a layer without exactly one.
    """
    found = []
    for index, layer in enumerate(language_model(model).layers):
        named = [m for m in layer.children() if type(m).__name__.endswith("Attention")]
        if len(named) != 1:
            raise InputError(
                f"layer {index} of the language model has {len(named)} attention modules: expected "
                "one, a decoder of softmax attention (Llama, Mistral, Qwen, Phi, Gemma, ...)"
            )
        found += named
    return found


@contextmanager
def eager_attention(model: Any) -> Iterator[None]:
    """Within the context the language model's attention is eager; the tower keeps its own."""
    config = language_model(model).config
    before = config._attn_implementation  # noqa: SLF001 -- what transformers itself reads
    config._attn_implementation = "eager"  # noqa: SLF001
    try:
        yield
    finally:
        config._attn_implementation = before  # noqa: SLF001
