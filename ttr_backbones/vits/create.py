"""Make a ViT from a name, with every way the name can be wrong explained."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from timm.models import get_arch_pretrained_cfgs
from torch import nn

from ttr_backbones.errors import InputError, MissingFileError, unknown_name
from ttr_backbones.timm_names import vit_names
from ttr_backbones.vits.family import is_vit, no_vit
from ttr_backbones.vits.finite_weights import require_finite
from ttr_backbones.vits.hf_files import is_hf_name
from ttr_backbones.vits.hf_source import create_hf_vit, refuse_options
from ttr_backbones.vits.hub import bounded_hub
from ttr_backbones.vits.skip_init import SkipInit
from ttr_backbones.vits.weights import load_weights

_SOURCES = ("hf-hub:", "local-dir:")


def create_vit(
    model: str,
    *,
    pretrained: bool = False,
    checkpoint: str | Path | None = None,
    checkpoint_prefix: str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Make the ViT `model`, able to take inputs of every size, in eval mode.

    Args:
        model: tagged timm name (`arch.tag`), `hf-hub:owner/name` or `local-dir:path` with a model
            of timm, `hf:owner/name` or `hf:path` with one of transformers; a timm name without a
            tag is enough where the weights do not come from timm.
        pretrained: get the weights from the hub (or from the folder that is named).
        checkpoint: local weight file instead, in any format of `weights.load_weights`.
        checkpoint_prefix: which backbone of a file with several, by what stands before its names.
        model_kwargs: more arguments of `timm.create_model`.

    Raises:
        MissingFileError: the file or folder does not exist.
        InputError: an unknown name or tag, a model of no known family, two sources of weights,
            weights that do not fit or are no numbers, or weights that cannot be downloaded.
    """
    _check_sources(pretrained, checkpoint, checkpoint_prefix)
    if is_hf_name(model):
        refuse_options(model, checkpoint=checkpoint, model_kwargs=model_kwargs)
        return create_hf_vit(model, pretrained=pretrained)
    _check_name(model, pretrained=pretrained)
    kwargs = {"num_classes": 0, "dynamic_img_size": True, **(model_kwargs or {})}
    if not kwargs["dynamic_img_size"]:
        raise InputError("model_kwargs has dynamic_img_size=False: dense tasks need every size")
    local = pretrained and model.startswith("local-dir:")
    filled = local or checkpoint is not None  # `load_weights` fills all of it, or refuses
    with SkipInit() if filled else contextlib.nullcontext():
        vit = _create(model, pretrained=pretrained and not local, kwargs=kwargs)
    if not is_vit(vit):
        raise InputError(f"{model}: {no_vit(type(vit).__name__)}")
    if local:  # timm would resample the kernel of another patch size
        checkpoint = _file_in(Path(model.removeprefix("local-dir:")))
    if checkpoint is not None:
        load_weights(vit, checkpoint, checkpoint_prefix)
    elif pretrained:
        require_finite(vit.state_dict(), f"the file of {model}")
    return vit.eval()


def _file_in(folder: Path) -> Path:
    """Find the weight file that timm would take of a folder of `local-dir:`."""
    names = ("model", "pytorch_model", "open_clip_model", "open_clip_pytorch_model")
    usual = [folder / f"{n}{end}" for end in (".safetensors", ".bin", ".pth") for n in names]
    files = [
        file for end in ("safetensors", "bin", "pth", "pt") for file in folder.glob(f"*.{end}")
    ]
    found = next((file for file in usual if file.is_file()), None)
    if found is None and len(files) != 1:
        listed = ", ".join(sorted(file.name for file in files)) or "none"
        raise InputError(
            f"local-dir:{folder} has no model.safetensors or pytorch_model.bin, and not one weight "
            f"file but {listed}: give it as checkpoint=FILE"
        )
    return found or files[0]


def _check_sources(pretrained: bool, checkpoint: str | Path | None, prefix: str | None) -> None:
    if pretrained and checkpoint is not None:
        raise InputError(
            f"pretrained=True and checkpoint={str(checkpoint)!r}: give one source of weights"
        )
    if prefix is not None and checkpoint is None:
        raise InputError(f"checkpoint_prefix={prefix!r} goes with checkpoint=FILE")


def _check_name(model: str, *, pretrained: bool) -> None:
    if model.startswith("local-dir:") and not Path(model.removeprefix("local-dir:")).is_dir():
        raise MissingFileError(
            f"{model}: no such folder; expected one with timm's config.json and weights"
        )
    if model.startswith(_SOURCES):
        return
    architecture, _, tag = model.partition(".")
    if not timm.is_model(architecture):
        raise InputError(unknown_name("timm model", architecture, vit_names()))
    tags = [name.partition(".")[2] for name in get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in tags:
        raise InputError(unknown_name(f"tag of {architecture}", tag, filter(None, tags)))
    if pretrained and not tag:
        raise InputError(
            f"{architecture!r} names an architecture, not weights: with pretrained=True give the "
            f"tag too, one of {', '.join(f'{architecture}.{t}' for t in tags if t)}"
        )
    if tag == "openai" and "_clip_" in architecture and "quickgelu" not in architecture:
        right = architecture.replace("_clip_", "_clip_quickgelu_")
        raise InputError(
            f"{model}: OpenAI trained CLIP with QuickGELU, this architecture has GELU, which gives "
            f"wrong features. Use '{right}.openai'"
        )


def _create(model: str, *, pretrained: bool, kwargs: dict[str, Any]) -> Any:
    from_hub = pretrained or model.startswith("hf-hub:")
    try:
        with bounded_hub() if from_hub else contextlib.nullcontext():
            return timm.create_model(model, pretrained=pretrained, **kwargs)
    except TypeError as error:
        if "'dynamic_img_size'" in str(error):  # which all families have
            kind = str(error).partition(".__init__")[0]
            raise InputError(f"{model}: {no_vit(kind)}") from error
        raise InputError(f"model_kwargs do not fit {model}: {error}") from error
    except Exception as error:
        # The hub client raises many kinds; to the user they are one: the weights did not come.
        if not from_hub:
            raise
        raise InputError(
            f"the weights of {model} could not be had: {str(error).rstrip('.')}. Without a "
            f"network, fetch them on another machine (`hf download timm/{model}`) and give "
            "the file as checkpoint=FILE, or copy that machine's Hugging Face cache and set HF_HOME"
        ) from error
