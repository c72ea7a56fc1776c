"""One pass over prompt and answer that reads how each answer token came about.

The answer is generated with the model's own attention and cache. Then the whole sequence is run
once more with eager attention, from which hooks take the rows that are asked for, layer by layer:
no more than one layer's maps are in memory at a time, except for rollout and gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vlm.eager import attention_modules, eager_attention

Method = Literal["attention", "rollout", "gradient"]
METHODS = ("attention", "rollout", "gradient")


@dataclass(frozen=True)
class Sequences:
    """A batch of prompts with their answers.

    Args:
        ids: prompt, padded on the left, and answer, padded on the right, int64 [B, L + T].
        mask: 1 where a token is, 0 at padding, int64 [B, L + T].
        start: index L of the first answer token.
        lengths: tokens of each answer, B of them.
    """

    ids: Tensor
    mask: Tensor
    start: int
    lengths: list[int]

    @property
    def rows(self) -> slice:
        """The rows of attention that answers are read off: those that predict its tokens."""
        return slice(self.start - 1, self.ids.shape[1] - 1)


def attention_rows(
    model: Any, sequences: Sequences, kwargs: dict[str, Any], method: Method
) -> Tensor:
    """Attention of the answer's rows, by layer and head.

    Args:
        model: the vision-language model.
        sequences: prompts and answers.
        kwargs: the images, as the processor gives them, without `input_ids` and `attention_mask`.
        method: "attention", the maps themselves; "rollout" (arXiv 2005.00928), the product of all
            layers' maps, heads averaged and half identity for the residual stream; "gradient"
            (arXiv 2103.15679), the map times the gradient of the token's logit with respect to it,
            where that is positive.

    Returns:
        float32 [B, T, layers, heads, L + T] on the CPU; rollout has one layer and one head. Row t
        is the query that predicts answer token t: attention from the position before it.

    Raises:
        InputError: attention is not causal, or gives no maps.
    """
    take = {"attention": _maps, "rollout": _rollout, "gradient": _gradients}[method]
    rows = take(model, sequences, kwargs)
    # Row t may see the answer's tokens before t: [B, layers, heads, T, T] below the diagonal.
    if rows.movedim(1, 3)[..., sequences.start :].triu().any():
        raise InputError(
            f"{type(model).__name__} looks at later tokens of its answer when prompt and answer "
            "are read in one pass (PaliGemma does): expected causal attention, as LLaVA, "
            "LLaVA-NeXT and InternVL have it"
        )
    return rows


def _maps(model: Any, sequences: Sequences, kwargs: dict[str, Any]) -> Tensor:
    layers: list[Tensor] = []
    rows = sequences.rows

    def keep(weights: Tensor) -> None:
        layers.append(weights[:, :, rows].float().cpu())

    with torch.no_grad(), _reading(model, keep):
        _run(model, sequences, kwargs)
    return torch.stack(layers, dim=1).permute(0, 3, 1, 2, 4)


def _rollout(model: Any, sequences: Sequences, kwargs: dict[str, Any]) -> Tensor:
    layers: list[Tensor] = []
    with (
        torch.no_grad(),
        _reading(model, lambda weights: layers.append(weights.float().mean(dim=1))),
    ):
        _run(model, sequences, kwargs)
    length = sequences.ids.shape[1]
    rows = torch.eye(length, device=layers[0].device)[sequences.rows].expand(len(layers[0]), -1, -1)
    for weights in reversed(layers):  # from the top: only the rows asked for are multiplied
        rows = 0.5 * (rows @ weights + rows)
    return rows.cpu()[:, :, None, None]


def _gradients(model: Any, sequences: Sequences, kwargs: dict[str, Any]) -> Tensor:
    layers: list[Tensor] = []
    rows = sequences.rows
    embedding = model.get_input_embeddings()

    def track(_: Any, __: Any, output: Tensor) -> Tensor:
        # So that there is a graph, whatever parameters are frozen.
        return output if output.requires_grad else output.requires_grad_()

    handle = embedding.register_forward_hook(track)
    try:
        with torch.enable_grad(), _reading(model, layers.append):
            logits = _run(model, sequences, kwargs)
    finally:
        handle.remove()
    chosen = logits[:, rows].gather(2, sequences.ids[:, sequences.start :, None]).squeeze(2)
    found = []
    for token in range(chosen.shape[1]):  # one backward pass per answer token
        last = token == chosen.shape[1] - 1
        gradients = torch.autograd.grad(chosen[:, token].sum(), layers, retain_graph=not last)
        row = rows.start + token
        products = [
            # Not in float16: the product of two small numbers would be 0.
            (weights[:, :, row].detach().float() * gradient[:, :, row].float()).clamp(min=0).cpu()
            for weights, gradient in zip(layers, gradients, strict=True)
        ]
        found.append(torch.stack(products, dim=1))
    return torch.stack(found, dim=1)


def _run(model: Any, sequences: Sequences, kwargs: dict[str, Any]) -> Tensor:
    """Logits [B, L + T, V] of a pass without cache; padding has no position."""
    positions = (sequences.mask.cumsum(dim=1) - 1).clamp(min=0)
    with eager_attention(model):
        output = model(
            input_ids=sequences.ids,
            attention_mask=sequences.mask,
            position_ids=positions,
            use_cache=False,
            **kwargs,
        )
    logits: Tensor = output.logits
    return logits


@contextmanager
def _reading(model: Any, callback: Callable[[Tensor], object]) -> Iterator[None]:
    """Hand the attention map [B, heads, Q, K] of every layer to `callback`, in order."""

    def hook(module: nn.Module, _: Any, output: Any) -> None:
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if not isinstance(weights, Tensor) or weights.ndim != 4:
            raise InputError(
                f"{type(module).__name__} gives no attention map [B, heads, Q, K] in eager "
                "attention: its maps cannot be read in this version of transformers"
            )
        callback(weights)

    handles = [module.register_forward_hook(hook) for module in attention_modules(model)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
