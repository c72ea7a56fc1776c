"""Text towers that open_clip builds, from one file of a CLIP or from a folder of open_clip."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.safe_load import load_weight_file
from ttr_backbones.text_vectors.open_clip_package import require_open_clip
from ttr_backbones.text_vectors.text_tower import TextTower
from ttr_backbones.vits.checkpoint_layout import tensors_by_name
from ttr_backbones.vits.finite_weights import require_finite
from ttr_backbones.vits.hub import bounded_hub

_EMBEDDING = "token_embedding.weight"
_PARTS = ("positional_embedding", "text_projection", "token_embedding.", "transformer.", "ln_final")
_BESIDE_OPENAI_NAMES = ("visual.", "logit_", "input_resolution", "context_length", "vocab_size")
_CONFIG = "open_clip_config.json"
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_FOLDER = (
    "give the text tower as a folder with open_clip_config.json, the weights and the files of the "
    "tokenizer: --text-tower local-dir:DIR, or hf-hub:OWNER/NAME"
)


def tower_from_file(path: Path, *, quick_gelu: bool) -> TextTower:
    """Build the text tower of a file of OpenAI's or open_clip's CLIP, which has all its sizes.

    Args:
        path: the file; also with the tower under `text.`, as beside timm's image towers.
        quick_gelu: whether the model was trained with QuickGELU, which no tensor tells.

    Raises:
        MissingFileError: no such file.
        InputError: a file without such a tower, or one that its tensors do not describe (SigLIP).
    """
    state = _text_state(tensors_by_name(load_weight_file(path)), path)
    projection, embedding = state["text_projection"], state[_EMBEDDING]
    layers = {m[1] for m in (re.match(r"transformer\.resblocks\.(\d+)\.", k) for k in state) if m}
    width = embedding.shape[1]
    config = {
        "context_length": len(state["positional_embedding"]),
        "vocab_size": len(embedding),
        "width": width,
        "heads": width // 64,  # as OpenAI's own loader takes it
        "layers": len(layers),
        "mlp_ratio": len(state["transformer.resblocks.0.mlp.c_fc.weight"]) / width,
    }
    tower = _built(projection.shape[1], config, state, quick_gelu=quick_gelu, source=path)
    tokenizer = require_open_clip().SimpleTokenizer(context_length=config["context_length"])
    if tokenizer.vocab_size != len(embedding):
        raise InputError(
            f"{path}: its text tower has {len(embedding)} tokens, CLIP's tokenizer "
            f"{tokenizer.vocab_size}: it needs its own, so {_FOLDER}"
        )
    return _tower(tower, tokenizer, int(config["context_length"]), path)


def tower_from_folder(name: str) -> TextTower:
    """Build the text tower that a folder of open_clip describes.

    Args:
        name: `local-dir:DIR` or `hf-hub:OWNER/NAME`.

    Raises:
        MissingFileError: no such folder, or no config or weights in it.
        InputError: it cannot be downloaded, or holds another kind of model.
    """
    package = require_open_clip()
    folder = _folder(name)
    config = _model_config(folder, name)
    text = dict(config["text_cfg"])
    if text.get("hf_model_name"):
        raise InputError(
            f"{name}: its text tower is {text['hf_model_name']} of transformers inside open_clip, "
            "which is not read here"
        )
    found = next((folder / file for file in _WEIGHTS if (folder / file).is_file()), None)
    if found is None:
        raise MissingFileError(f"{name}: no {' or '.join(_WEIGHTS)} in {folder}")
    state = _text_state(tensors_by_name(load_weight_file(found)), found, any_projection=True)
    quick_gelu = bool(config.get("quick_gelu", False))
    tower = _built(config["embed_dim"], text, state, quick_gelu=quick_gelu, source=found)
    try:
        tokenizer = package.get_tokenizer(f"local-dir:{folder}")
    except Exception as error:  # transformers raises many kinds
        raise InputError(
            f"{name}: its tokenizer cannot be read from {folder}: {error}. Expected the files that "
            "tokenizer.save_pretrained writes beside the config"
        ) from error
    return _tower(tower, tokenizer, int(text.get("context_length", 77)), found)


def _tower(module: Any, tokenizer: Any, context_length: int, source: Path) -> TextTower:
    def tokenize(sentences: Sequence[str], length: int) -> Tensor:
        ids: Tensor = tokenizer(list(sentences), context_length=length)
        return ids

    return TextTower(module, tokenize, context_length, module, str(source))


def _built(
    embed_dim: int,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    quick_gelu: bool,
    source: Path,
) -> Any:
    package = require_open_clip()
    # open_clip makes towers in pairs; the image tower is timm's, so that this one is the smallest.
    least = {"layers": 1, "width": 64, "patch_size": 1, "image_size": 1}
    known = package.model.CLIPTextCfg.__dataclass_fields__
    # Options of its tokenizer are no longer there where the tower is built.
    text_cfg = {key: value for key, value in config.items() if key in known}
    try:
        tower = package.CustomTextCLIP(embed_dim, least, text_cfg, quick_gelu=quick_gelu).text
        tower.load_state_dict(dict(state))
    except (RuntimeError, TypeError, AssertionError, KeyError) as error:
        raise InputError(
            f"{source}: its tensors are not those of open_clip's text tower of {dict(config)}: "
            f"{str(error)[:500]}"
        ) from error
    require_finite(tower.state_dict(), str(source))
    return tower.eval().requires_grad_(requires_grad=False)


def _text_state(
    tensors: Mapping[str, Tensor], path: Path, *, any_projection: bool = False
) -> dict[str, Tensor]:
    """Take the text tower's tensors, without what stands before their names."""
    prefixes = [
        key.removesuffix(_EMBEDDING)
        for key in tensors
        if key.endswith(_EMBEDDING) and f"{key.removesuffix(_EMBEDDING)}ln_final.weight" in tensors
    ]
    if len(prefixes) != 1:
        raise InputError(
            f"{path} holds {len(prefixes)} text towers of CLIP (`token_embedding.weight` beside "
            "`ln_final.weight`), expected one: give a file of the whole CLIP of OpenAI or "
            "open_clip, which has image and text; a model of transformers is hf:FOLDER; or else "
            f"{_FOLDER}"
        )
    prefix = prefixes[0]
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    state.pop("attn_mask", None)  # of older files; it is computed
    if not prefix.endswith("text."):
        state = {k: v for k, v in state.items() if not k.startswith(_BESIDE_OPENAI_NAMES)}
    foreign = [] if any_projection else [k for k in state if not k.startswith(_PARTS)]
    if foreign or (not any_projection and "text_projection" not in state):
        what = f"also has {foreign[0]}" if foreign else "has no text_projection of one matrix"
        raise InputError(
            f"{path}: its text tower {what}, as that of SigLIP, CoCa and others, so that its "
            f"tensors do not say how it computes: {_FOLDER}"
        )
    return state


def _folder(name: str) -> Path:
    scheme, _, rest = name.partition(":")
    if scheme == "local-dir":
        folder = Path(rest).expanduser()
        if not folder.is_dir():
            raise MissingFileError(f"{name}: no such folder; {_FOLDER}")
        return folder
    if scheme != "hf-hub":
        raise InputError(f"the text tower {name!r} is neither local-dir:DIR nor hf-hub:OWNER/NAME")
    from huggingface_hub import HfApi, snapshot_download

    try:
        with bounded_hub():
            held = HfApi().list_repo_files(rest)
            weights = next((file for file in _WEIGHTS if file in held), _WEIGHTS[0])
            patterns = [_CONFIG, weights, "*token*", "vocab.*", "merges.txt", "*.model"]
            return Path(snapshot_download(rest, allow_patterns=patterns))
    except Exception as error:  # the hub client raises many kinds
        raise InputError(
            f"the text tower {name} could not be had: {str(error).rstrip('.')}. Without a network, "
            f"fetch it on another machine (`hf download {rest} --local-dir DIR`) and give "
            "--text-tower local-dir:DIR, or the whole CLIP as --checkpoint FILE"
        ) from error


def _model_config(folder: Path, name: str) -> dict[str, Any]:
    path = folder / _CONFIG
    if not path.is_file():
        raise MissingFileError(f"{name}: no {_CONFIG} in {folder}; {_FOLDER}")
    try:
        config = json.loads(path.read_text(encoding="utf-8")).get("model_cfg")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path} is no config of open_clip: {error}") from error
    if not isinstance(config, dict) or not {"embed_dim", "text_cfg"} <= config.keys():
        raise InputError(f"{path} has no model_cfg with embed_dim and text_cfg")
    return config
