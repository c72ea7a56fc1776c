"""The answers of a model: generated or given, as sequences that can be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.vlm.load import VLM
from ttr_backbones.vlm.replay import Sequences
from ttr_backbones.vlm.token_map import image_token_id


@torch.no_grad()
def generated(vlm: VLM, kwargs: dict[str, Any], max_new_tokens: int) -> Sequences:
    """Let the model answer greedily, with its own attention and cache.

    Args:
        vlm: model and processor.
        kwargs: of `generate`: `input_ids` [B, L] and what else the processor gives.
        max_new_tokens: at most so many tokens.

    Returns:
        Prompts and answers; an end-of-sequence token belongs to an answer only if it is all of it.
    """
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens={max_new_tokens}: expected at least 1")
    ids = vlm.model.generate(
        **kwargs, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1, use_cache=True
    )
    start = kwargs["input_ids"].shape[1]
    ends = _ends(vlm.model)
    lengths = [_length(row, ends) for row in ids[:, start:].tolist()]
    return _sequences(vlm, ids[:, : start + max(lengths)], kwargs["attention_mask"], lengths)


def teacher_forced(vlm: VLM, kwargs: dict[str, Any], answers: Sequence[str]) -> Sequences:
    """Use these answers in place of generated ones, to compare two models on the same words."""
    tokenizer = vlm.processor.tokenizer
    found = [tokenizer.encode(answer, add_special_tokens=False) for answer in answers]
    if len(found) != len(kwargs["input_ids"]) or not all(found):
        raise InputError(
            f"answers={list(answers)!r}: expected one text of at least one token for each of the "
            f"{len(kwargs['input_ids'])} images"
        )
    longest = max(map(len, found))
    filled = [ids + [ids[-1]] * (longest - len(ids)) for ids in found]  # hidden by the mask
    ids = kwargs["input_ids"]
    answer_ids = torch.tensor(filled, device=ids.device)
    lengths = [len(one) for one in found]
    whole = torch.cat([ids, answer_ids], dim=1)
    return _sequences(vlm, whole, kwargs["attention_mask"], lengths)


def _sequences(vlm: VLM, ids: Tensor, prompt_mask: Tensor, lengths: list[int]) -> Sequences:
    start = prompt_mask.shape[1]
    if (ids[:, start:] == image_token_id(vlm.model)).any():
        raise InputError(
            f"an answer holds the image token {vlm.processor.image_token}, for which there is no "
            "second image: expected an answer of words"
        )
    column = torch.arange(ids.shape[1] - start, device=ids.device)
    answer = column < torch.tensor(lengths, device=ids.device).unsqueeze(1)
    return Sequences(ids, torch.cat([prompt_mask, answer.to(prompt_mask)], dim=1), start, lengths)


def _ends(model: Any) -> set[int]:
    """Ids that end an answer."""
    found = model.generation_config.eos_token_id
    return set() if found is None else {found} if isinstance(found, int) else set(found)


def _length(answer: list[int], ends: set[int]) -> int:
    first = next((index for index, token in enumerate(answer) if token in ends), len(answer))
    return max(first, 1)
