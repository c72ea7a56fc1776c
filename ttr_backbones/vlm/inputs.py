"""From photographs and prompts to what a model is given, by its own processor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.vits.tokens import Grid
from ttr_backbones.vlm.load import VLM
from ttr_backbones.vlm.tile_boxes import tile_boxes
from ttr_backbones.vlm.token_map import image_token_id, token_patches
from ttr_backbones.vlm.tower import patch_grid


@dataclass(frozen=True)
class ImageTokens:
    """Where one image is in a prompt, in the tower and in the photograph.

    Args:
        positions: of its tokens in the sequence, int64 [N].
        patches: flat indices over (tile, row, column) of the patches in each token, int64 [N, k];
            -1 for none.
        grid: patches (h, w) of a tile.
        boxes: where each tile lies in the photograph: x1, y1, x2, y2 as shares of its width and
            height, float64 [T, 4]; beyond 0..1 where a tile is padded.
    """

    positions: Tensor
    patches: Tensor
    grid: Grid
    boxes: Tensor


@dataclass(frozen=True)
class PromptBatch:
    """A batch for `generate`.

    Args:
        kwargs: of the model: `input_ids` and `attention_mask` [B, L], `pixel_values`, ...
        per_image: how many of the pictures that the tower is given belong to each image.
        images: where each image is.
    """

    kwargs: dict[str, Any]
    per_image: list[int]
    images: list[ImageTokens]


def full_prompt(vlm: VLM, prompt: str) -> str:
    """Put a question into the model's chat, with the image before it.

    A prompt that holds the image token already is a full one, and stays as it is, but for a
    beginning-of-sequence token: there is one of it, whether template or tokenizer writes it.

    Raises:
        InputError: there is neither an image token nor a chat template.
    """
    token = vlm.processor.image_token
    if token in prompt:
        if prompt.count(token) != 1:
            raise InputError(f"the prompt {prompt!r} has {token} several times: expected one image")
        return _without_bos(vlm.processor.tokenizer, prompt)
    if not getattr(vlm.processor, "chat_template", None):
        raise InputError(
            f"the processor has no chat template: give the full prompt with {token} where the "
            f"image goes, as 'USER: {token}\\n{prompt} ASSISTANT:' for LLaVA 1.5"
        )
    content = [{"type": "image"}, {"type": "text", "text": prompt}]
    chat = [{"role": "user", "content": content}]
    text: str = vlm.processor.apply_chat_template(chat, add_generation_prompt=True)
    return _without_bos(vlm.processor.tokenizer, text)


def _without_bos(tokenizer: Any, text: str) -> str:
    """Cut off a beginning-of-sequence token that the tokenizer puts before the text by itself."""
    bos = tokenizer.bos_token
    if (
        bos
        and text.startswith(bos)
        and tokenizer(bos)["input_ids"].count(tokenizer.bos_token_id) > 1
    ):
        return text.removeprefix(bos)
    return text


def prompt_batch(vlm: VLM, images: Sequence[Image.Image], prompts: Sequence[str]) -> PromptBatch:
    """Make a batch of one image and one prompt each.

    Raises:
        InputError: as many prompts as images are expected; prompts of several lengths for a
            tokenizer that cannot pad; or a model that attends to a prompt in both directions.
    """
    if len(images) != len(prompts) or not images:
        raise InputError(
            f"expected as many prompts as images, at least one, got {len(images)} images and "
            f"{len(prompts)} prompts"
        )
    texts = [full_prompt(vlm, prompt) for prompt in prompts]
    batch = _processed(vlm, images, texts)
    if "token_type_ids" in batch:
        raise InputError(
            f"{type(vlm.model).__name__} tells the tokens of a prompt apart by token_type_ids, to "
            "attend in both directions (PaliGemma does): expected causal attention, as LLaVA, "
            "LLaVA-NeXT and InternVL have it"
        )
    model, token = vlm.model, image_token_id(vlm.model)
    tiles, per_image = _tiles(model, batch)
    is_image = batch["input_ids"] == token
    counts = is_image.sum(dim=1).tolist()
    if per_image is None:
        per_image = [len(tiles) * count // sum(counts) for count in counts]
    sizes = batch.get("image_sizes", [None] * len(images))
    grid = patch_grid(model, tiles)
    boxes = tile_boxes(vlm, images, texts, _processed, lambda b: _tiles(model, b)[0])
    found = [
        ImageTokens(
            is_image[row].nonzero().flatten(),
            token_patches(model, grid, per_image[row], sizes[row], counts[row]),
            grid,
            of_image,
        )
        for row, of_image in enumerate(boxes.split(per_image))
    ]
    weight = next(model.parameters())
    kwargs = {
        key: value.to(weight.device, weight.dtype if value.is_floating_point() else None)
        for key, value in batch.items()
    }
    return PromptBatch(kwargs, per_image, found)


def _processed(vlm: VLM, images: Sequence[Image.Image], texts: Sequence[str]) -> dict[str, Any]:
    tokenizer = vlm.processor.tokenizer
    pads = tokenizer.pad_token_id is not None
    if not pads and len(texts) > 1:
        raise InputError(
            "the tokenizer has no pad token, so prompts of several lengths make no batch: give one "
            "image at a time (batch_size=1)"
        )
    before, tokenizer.padding_side = tokenizer.padding_side, "left"  # answers begin side by side
    try:
        batch = vlm.processor(
            images=list(images), text=list(texts), return_tensors="pt", padding=pads
        )
    finally:
        tokenizer.padding_side = before
    return {key: value for key, value in batch.items() if isinstance(value, Tensor)}


def _tiles(model: Any, batch: dict[str, Any]) -> tuple[Tensor, list[int] | None]:
    """All pictures for the tower, [T, 3, H, W], and their number per image if it is known."""
    values: Tensor = batch["pixel_values"]
    if values.ndim == 4:
        same = len(values) == len(batch["input_ids"])
        return values, [1] * len(values) if same else None
    if values.ndim != 5 or "image_sizes" not in batch:
        raise InputError(
            f"{type(model).__name__}: pixel_values {tuple(values.shape)} is a form of images that "
            "is not known here: expected [T, 3, H, W], or LLaVA-NeXT's [B, tiles, 3, H, W]"
        )
    from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

    side = model.config.vision_config.image_size
    pinpoints = model.config.image_grid_pinpoints
    counts = [
        int(image_size_to_num_patches(size.tolist(), pinpoints, side))
        for size in batch["image_sizes"]
    ]
    return torch.cat([v[:n] for v, n in zip(values, counts, strict=True)]), counts
