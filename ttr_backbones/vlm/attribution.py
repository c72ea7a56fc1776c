"""Which patches of an image a model looks at for each token of its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.images.finite import check_finite
from ttr_backbones.vlm.generation import generated, teacher_forced
from ttr_backbones.vlm.inputs import ImageTokens, PromptBatch, prompt_batch
from ttr_backbones.vlm.load import VLM
from ttr_backbones.vlm.replay import METHODS, Method, Sequences, attention_rows
from ttr_backbones.vlm.tower import feature_block, reading_norms


@dataclass(frozen=True)
class Attribution:
    """One image's answer and where it looks. T answer tokens, N image tokens, h x w patches.

    Args:
        answer: as text.
        tokens: its T tokens as text.
        token_ids: their ids.
        weights: what each answer token takes from each image token, float32 [T, N]; by layer and
            head, [T, layers, heads, N], if that was asked for. Attention of all the sequence sums
            to 1, so these sum to less.
        place: of the image tokens in the prompt, the tower and the photograph.
        norms: patch norms of the tower's tiles after the block that the language model reads,
            float32 [tiles, h, w].
    """

    answer: str
    tokens: list[str]
    token_ids: list[int]
    weights: Tensor = field(repr=False)
    place: ImageTokens = field(repr=False)
    norms: Tensor = field(repr=False)

    def reduced(self, *, layer: int | None = None, head: int | None = None) -> Tensor:
        """Mean over layers and heads, or those of one layer, one head or both, [T, N].

        Raises:
            InputError: they were not kept (`per_head=True`), or there is no such layer or head.
        """
        if self.weights.ndim == 2:
            if layer is None and head is None:
                return self.weights
            raise InputError("layers and heads were averaged: call attribute with per_head=True")
        weights = self.weights
        for what, index, dim in (("head", head, 2), ("layer", layer, 1)):
            if index is None:
                weights = weights.mean(dim=dim, keepdim=True)
            elif not -weights.shape[dim] <= index < weights.shape[dim]:
                raise InputError(f"no {what} {index}: there are {weights.shape[dim]}, from 0 on")
            else:
                weights = weights.select(dim, index).unsqueeze(dim)
        return weights[:, 0, 0]

    def on_patches(self, weights: Tensor | None = None) -> Tensor:
        """Spread each token's weight evenly over its patches.

        Args:
            weights: [..., N]; by default `reduced()`.

        Returns:
            [..., tiles, h, w]; tokens without a patch (newlines, CLS) are left out.
        """
        weights = self.reduced() if weights is None else weights
        patches, shape = self.place.patches, self.norms.shape
        has = patches >= 0
        share = weights.unsqueeze(-1) * has / has.sum(dim=1, keepdim=True).clamp(min=1)
        flat = weights.new_zeros(*weights.shape[:-1], shape.numel())
        flat.index_add_(-1, patches[has], share[..., has])
        return flat.unflatten(-1, shape)


def attribute(
    vlm: VLM,
    images: Sequence[Image.Image],
    prompt: str | Sequence[str],
    *,
    method: Method = "attention",
    max_new_tokens: int = 32,
    per_head: bool = False,
    batch_size: int = 1,
    answers: Sequence[str] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[Attribution]:
    """Let a model answer, and read which image tokens every answer token takes from.

    Row t is the attention of the position that predicts answer token t (the last of the prompt for
    the first one), as `generate(output_attentions=True)` gives it. Eager attention is used for that
    pass alone and switched back; answers come from the model's own attention and cache.

    Args:
        vlm: model and processor, the tower without or with registers
            (`add_test_time_registers(vlm.model, neurons)`).
        images: RGB photographs of any size.
        prompt: one for all, or one per image; a question, or a full prompt with the image token.
        method: "attention", "rollout" or "gradient" (`replay.attention_rows`).
        max_new_tokens: at most so many answer tokens.
        per_head: keep layers and heads apart; memory T x layers x heads x N floats an image.
        batch_size: images per pass; a batch gives what single images do.
        answers: read these answers instead, one per image.
        progress: called with (images done, images in all).

    Returns:
        One per image.

    Raises:
        InputError: prompts or answers do not go with the images; a model, processor or method that
            is not known here.
        NonFiniteError: weights that are NaN or infinite (float16 may do that: use bfloat16).
    """
    prompts = [prompt] * len(images) if isinstance(prompt, str) else list(prompt)
    for what, texts in (("prompts", prompts), ("answers", answers)):
        if texts is not None and len(texts) != len(images):
            raise InputError(f"expected {len(images)} {what}, one per image, got {len(texts)}")
    if method not in METHODS:
        raise InputError(unknown_name("method", method, METHODS))
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size}: expected at least 1")
    if vlm.model.training:
        raise InputError("the model is in training mode: call vlm.model.eval() first")
    block = feature_block(vlm.model)
    found: list[Attribution] = []
    for first in range(0, len(images), batch_size):
        part = slice(first, first + batch_size)
        batch = prompt_batch(vlm, images[part], prompts[part])
        kwargs = dict(batch.kwargs)
        wanted = None if answers is None else answers[part]
        sequences = (
            generated(vlm, kwargs, max_new_tokens)
            if wanted is None
            else teacher_forced(vlm, kwargs, wanted)
        )
        found += _read(vlm, batch, sequences, method, block, per_head=per_head)
        if progress is not None:
            progress(len(found), len(images))
    return found


def _read(
    vlm: VLM,
    batch: PromptBatch,
    sequences: Sequences,
    method: Method,
    block: int,
    *,
    per_head: bool,
) -> list[Attribution]:
    kwargs = dict(batch.kwargs)
    for name in ("input_ids", "attention_mask"):
        kwargs.pop(name)
    with reading_norms(vlm.model, block) as seen:
        rows = attention_rows(vlm.model, sequences, kwargs, method)
    check_finite({f"{method} over the image": rows.flatten(2)})
    grid = batch.images[0].grid
    norms = torch.cat(seen).unflatten(1, grid).split(batch.per_image)
    return [
        _of_image(vlm, sequences, index, rows[index], norms[index], place, per_head)
        for index, place in enumerate(batch.images)
    ]


def _of_image(
    vlm: VLM,
    sequences: Sequences,
    index: int,
    rows: Tensor,
    norms: Tensor,
    place: ImageTokens,
    per_head: bool,
) -> Attribution:
    length, tokenizer = sequences.lengths[index], vlm.processor.tokenizer
    ids: list[int] = sequences.ids[index, sequences.start :][:length].tolist()
    weights = rows[:length][..., place.positions.cpu()]
    return Attribution(
        answer=tokenizer.decode(ids, skip_special_tokens=True).strip(),
        tokens=_texts(tokenizer, ids),
        token_ids=ids,
        weights=weights if per_head else weights.mean(dim=(1, 2)),
        place=place,
        norms=norms,
    )


def _texts(tokenizer: Any, ids: list[int]) -> list[str]:
    """Each token as it stands in the answer; the space before a word is left out."""
    return [tokenizer.decode([token]).strip() or tokenizer.decode([token]) for token in ids]
