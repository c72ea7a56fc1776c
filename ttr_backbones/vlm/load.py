"""A vision-language model of transformers with its processor, from a folder or the hub."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.vits.finite_weights import require_finite
from ttr_backbones.vits.hub import bounded_hub

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class VLM(NamedTuple):
    """A model and what makes its inputs.

    Args:
        model: a `...ForConditionalGeneration` of transformers with a known vision tower.
        processor: its processor: tokenizer and image processor.
    """

    model: Any
    processor: Any


def load_vlm(name: str | Path, *, dtype: str = "float32", device: Any = "cpu") -> VLM:
    """Load a model and its processor; nothing in their files can run code.

    Args:
        name: OWNER/NAME on the hub, or a folder as `save_pretrained` of both writes it.
        dtype: float32, bfloat16 or float16.
        device: where it runs.

    Raises:
        MissingFileError: no such folder.
        InputError: transformers is not installed or does not know the model, no safetensors,
            weights that are not all there, an unknown dtype, or a hub that cannot be reached.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype={dtype!r}: expected one of {', '.join(DTYPES)}")
    transformers = _transformers()
    text = str(name).removeprefix("hf:")
    folder = Path(text).expanduser()
    if folder.is_dir():
        text = str(folder)
    elif text.startswith(("/", ".", "~")) or text.count("/") != 1:
        raise MissingFileError(
            f"{name}: no such folder; expected one with config.json, model.safetensors and the "
            "processor's files, as save_pretrained of transformers makes it, or OWNER/NAME on the "
            "hub"
        )
    options = {"trust_remote_code": False}
    try:
        with bounded_hub():
            processor = transformers.AutoProcessor.from_pretrained(text, **options)
            model, found = _model(transformers, text, dtype=DTYPES[dtype], **options)
    except InputError:
        raise
    except Exception as error:
        # transformers and the hub's client raise many kinds; to the user they are one.
        elsewhere = (
            ""
            if folder.is_dir()
            else ". Without a network, fetch it on another machine "
            f"(`hf download {text} --local-dir DIR`) and give DIR"
        )
        raise InputError(
            f"{name} cannot be loaded as a vision-language model: {str(error).rstrip('.')}. "
            "Expected a model that AutoModelForImageTextToText of transformers knows, in "
            f"safetensors, with its processor{elsewhere}"
        ) from error
    missing = sorted(key for key in found["missing_keys"] if "position_ids" not in key)
    if missing or found["mismatched_keys"]:
        listed = ", ".join(missing[:3]) or str(next(iter(found["mismatched_keys"])))
        raise InputError(
            f"{name}: the weights are not those of a {type(model).__name__} of its config.json: "
            f"missing or of another shape: {listed}"
        )
    require_finite(model.state_dict(), f"the file of {name}")
    moved: nn.Module = model.to(device).eval()
    return VLM(moved, processor)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            "vision-language models need transformers: pip install 'ttr_backbones[hf]' (or pip "
            "install 'transformers>=4.57.6')"
        ) from error
    return transformers


def _model(transformers: Any, name: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Load the weights; what transformers would only warn of is said by the caller as an error."""
    logger = logging.getLogger("transformers.modeling_utils")
    before, logger.disabled = logger.disabled, True
    try:
        loaded: tuple[Any, dict[str, Any]] = (
            transformers.AutoModelForImageTextToText.from_pretrained(
                name,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **options,
            )
        )
        return loaded
    finally:
        logger.disabled = before
