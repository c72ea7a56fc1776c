"""`hf:NAME`: a model of transformers from a folder or the hub, its weights all in place.

Configs are read as data and weights from safetensors: nothing in such files can run code.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.finite_weights import require_finite
from ttr_backbones.vits.hf_files import (
    PREFIX,
    WEIGHTS,
    hub_folder,
    read_json,
    tensor_names,
    weight_files,
)
from ttr_backbones.vits.hf_inner_tower import INDEX, inner_config, tower_files, tower_state
from ttr_backbones.vits.hf_preprocessing import image_preprocessing

_CLASSES = {
    "vit": "ViTModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "dinov3_vit": "DINOv3ViTModel",
    "clip": "CLIPVisionModelWithProjection",
    "clip_vision_model": "CLIPVisionModel",
    "siglip": "SiglipVisionModel",
    "siglip_vision_model": "SiglipVisionModel",
    "internvl_vision": "InternVLVisionModel",
}
"""`model_type` of a config -> the class of its vision tower."""

_CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json", INDEX)
# What a pass over images does not use; `position_ids` are counted, not learned.
_UNUSED = re.compile(r"(.*\.)?(mask_token|position_ids)$")
# A text model or a head in the same file.
_ASIDE = re.compile(
    rf"{_UNUSED.pattern}|text_model\.|text_projection\.|logit_(scale|bias)$|classifier\.|decoder\."
)
_LOG = logging.getLogger(__name__)


def refuse_options(
    model: str, *, checkpoint: str | Path | None, model_kwargs: Mapping[str, Any] | None
) -> None:
    """Raise InputError for what does not go with `hf:NAME`; `num_classes=0` says nothing."""
    kwargs = {key: value for key, value in (model_kwargs or {}).items() if value or value is None}
    if checkpoint is not None:
        raise InputError(f"{model} has its own weights: checkpoint={str(checkpoint)!r} is another")
    if kwargs:
        raise InputError(f"{model} is made by its own config.json: leave out model_kwargs={kwargs}")


def require_transformers() -> Any:
    """Import transformers.

    Raises:
        InputError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            "models of the form hf:NAME need transformers: pip install 'ttr_backbones[hf]' (or "
            "pip install 'transformers>=4.57.6')"
        ) from error
    return transformers


def create_hf_vit(model: str, *, pretrained: bool) -> nn.Module:
    """Make the vision tower of a checkpoint of transformers, in float32 and eval mode.

    Of a vision-language model (LLaVA, LLaVA-NeXT, InternVL, ...) the tower alone is read.

    Args:
        model: `hf:owner/name` on the hub, or `hf:FOLDER`, as `save_pretrained` makes one.
        pretrained: load its weights; else they are random and only the config is read.

    Raises:
        MissingFileError: no config, or no safetensors.
        InputError: transformers is not installed, a model without a known tower, weights that are
            not exactly the tower's, or a checkpoint that cannot be downloaded.
    """
    transformers = require_transformers()
    name = model.removeprefix(PREFIX)
    folder = hub_folder(name, _CONFIGS)
    config = read_json(folder / "config.json", model)
    kind = str(config.get("model_type"))
    inner = None if kind in _CLASSES else inner_config(config, _CLASSES)
    if inner is not None:
        kind, config = str(inner["model_type"]), inner
    if kind not in _CLASSES:
        raise InputError(
            f"{model}: {unknown_name('model_type', kind, _CLASSES)}. They may be the vision_config "
            "of a vision-language model too"
        )
    if pretrained:
        split = inner is not None and (folder / INDEX).is_file()
        folder = hub_folder(name, tower_files(folder / INDEX) if split else WEIGHTS)
    cls = getattr(transformers, _CLASSES[kind])
    config = config.get("vision_config", config) if kind == "siglip" else config
    if kind == "clip":  # whose projection stands outside of the tower's own config
        config = {**config["vision_config"], "projection_dim": config.get("projection_dim", 512)}
    made = cls.config_class.from_dict({**config, "return_dict": True})
    options = {"add_pooling_layer": False} if kind == "vit" else {}
    if pretrained:
        files = weight_files(folder, model)
        state = None if inner is None else tower_state(files, model)
        if kind == "vit" and any("pooler." in key for key in state or tensor_names(files)):
            options = {}
        elif kind == "vit":
            _LOG.warning("%s has no pooler: the image's embedding is its CLS token", model)
        source = folder if state is None else state
        vit = load_exactly(cls, source, made, model, options=options, aside=_ASIDE)
    else:
        vit = cls(made, **options)
    vit.pretrained_cfg = _pretrained_cfg(folder, vit, model)
    made_vit: nn.Module = vit.eval()
    return made_vit


def load_exactly(
    cls: Any,
    source: Path | dict[str, torch.Tensor],
    config: Any,
    model: str,
    *,
    options: Mapping[str, Any],
    aside: re.Pattern[str],
) -> Any:
    """Have transformers rename and load; it would only warn of a layer that it left random.

    Args:
        cls: a model of transformers.
        source: folder with safetensors, or the tensors.
        config: of `cls`.
        model: how to name it in a message.
        options: more arguments of `cls`.
        aside: tensors of the file that may have no place in the model.

    Raises:
        InputError: the weights are not exactly those of the model, or not finite.
    """
    logger = logging.getLogger("transformers.modeling_utils")
    before, logger.disabled = logger.disabled, True  # said below, as an error
    try:
        vit, found = cls.from_pretrained(
            source if isinstance(source, Path) else None,
            state_dict=None if isinstance(source, Path) else source,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )
    except Exception as error:
        raise InputError(f"{model}: transformers cannot load the weights: {error}") from error
    finally:
        logger.disabled = before
    missing = sorted(key for key in found["missing_keys"] if not _UNUSED.match(key))
    foreign = sorted(key for key in found["unexpected_keys"] if not aside.match(key))
    differ = found["mismatched_keys"]  # names, with their shapes from transformers 5 on
    shapes = sorted(entry if isinstance(entry, str) else entry[0] for entry in differ)
    faults = {"missing": missing, "not part of the tower": foreign, "other shape": shapes}
    if any(faults.values()):
        listed = "; ".join(
            f"{what} ({len(keys)}): {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"
            for what, keys in faults.items()
            if keys
        )
        raise InputError(
            f"{model}: the weights are not those of a {cls.__name__} of its config.json ({listed})"
        )
    require_finite(vit.state_dict(), f"the file of {model}")
    return vit


def _pretrained_cfg(folder: Path, vit: nn.Module, model: str) -> dict[str, Any]:
    """Return mean, std and size of the images, named as in timm's `pretrained_cfg`."""
    facts, found = family_of(vit).facts(vit), image_preprocessing(folder, model)
    if found is None:
        _LOG.warning(
            "%s has no preprocessor_config.json: images are taken as mean %s, std %s, %d x %d px",
            model,
            *(facts.mean, facts.std, *facts.image_size),
        )
        return {"architecture": model}
    return {
        "architecture": model,
        "mean": found.mean or facts.mean,
        "std": found.std or facts.std,
        "input_size": (3, *(found.size or (facts.image_size[0],) * 2)),
    }
