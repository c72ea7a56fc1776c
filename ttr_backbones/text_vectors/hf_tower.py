"""Text towers of transformers: CLIP and SigLIP from one folder, with their tokenizer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.text_vectors.text_tower import TextTower
from ttr_backbones.vits.hf_files import PREFIX, WEIGHTS, hub_folder, read_json, weight_files
from ttr_backbones.vits.hf_source import load_exactly, require_transformers

# model_type -> class of the text tower, and the field of its output with the embedding.
_CLASSES = {
    "clip": ("CLIPTextModelWithProjection", "text_embeds"),
    "siglip": ("SiglipTextModel", "pooler_output"),
}
_ASIDE = re.compile(r"vision_model\.|visual_projection\.|logit_(scale|bias)$|(.*\.)?position_ids$")
_TOKENIZER = ("*token*", "vocab.json", "merges.txt", "*.model", "config.json")


def hf_tower(model: str) -> TextTower:
    """Load the text tower and the tokenizer of `hf:FOLDER` or `hf:OWNER/NAME`.

    Raises:
        MissingFileError: no such folder, or no config or weights in it.
        InputError: transformers is not installed, a model without text, weights that are not
            exactly the tower's, no tokenizer, or a checkpoint that cannot be downloaded.
    """
    transformers = require_transformers()
    folder = hub_folder(model.removeprefix(PREFIX), [*_TOKENIZER, *WEIGHTS])
    config = read_json(folder / "config.json", model)
    kind = str(config.get("model_type"))
    if kind not in _CLASSES or "text_config" not in config:
        raise InputError(
            f"{model}: its config.json is of a {kind!r} without text; expected that of a whole "
            f"{' or '.join(_CLASSES)}, with text_config and vision_config"
        )
    name, output = _CLASSES[kind]
    cls = getattr(transformers, name)
    text = {**config["text_config"]}
    if kind == "clip":  # whose projection stands outside of the tower's own config
        text["projection_dim"] = config.get("projection_dim", 512)
    made = cls.config_class.from_dict({**text, "return_dict": True})
    weight_files(folder, model)
    tower = load_exactly(cls, folder, made, model, options={}, aside=_ASIDE)
    tower = tower.eval().requires_grad_(requires_grad=False)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers raises many kinds
        raise InputError(
            f"{model}: its tokenizer cannot be read from {folder}: {error}. Expected the files "
            "that tokenizer.save_pretrained writes beside the model"
        ) from error

    def tokenize(sentences: Sequence[str], length: int) -> Tensor:
        # SigLIP was trained with all places filled, and CLIP sees nothing behind a sentence's end.
        ids: Tensor = tokenizer(
            list(sentences),
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
        ).input_ids
        return ids

    def embed(ids: Tensor) -> Tensor:
        found: Any = tower(input_ids=ids)
        vectors: Tensor = found[output]
        return vectors

    return TextTower(tower, tokenize, int(made.max_position_embeddings), embed, model)
