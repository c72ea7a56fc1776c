"""A backbone whose embeddings of images live in the space of given vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmseg.registry import MODELS

from ttr_backbones.backbones.repair_options import add_repair, logged_choice
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.text_vectors import TextVectors
from ttr_backbones.text_vectors.text_of_model import embedding_width
from ttr_backbones.vits.text_space import head_width


def vectors_of(text: TextVectors | str | Path, model: str) -> TextVectors:
    """Load vectors.

    Args:
        text: they themselves, or their file; `{model}` in it is the name of the model, its
            punctuation but for . _ - as _.
        model: whose images are classified.

    Raises:
        MissingFileError: no such file; the message has the command that makes it.
        InputError: it holds none.
    """
    if isinstance(text, TextVectors):
        return text
    plain = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in model)
    path = Path(str(text).replace("{model}", plain)).expanduser()
    if not path.is_file():
        raise MissingFileError(
            f"no vectors of the classes at {path}: make them with `ttrb text {model} --classes "
            f"CLASSES --out {path}`, where CLASSES is imagenet, a file or the folder of the data "
            "(--checkpoint as here; --source classifier for a model that was trained on these "
            "classes), or give another file as model.text"
        )
    return TextVectors.load(path)


def backbone_in_space(backbone: Mapping[str, Any], vectors: TextVectors) -> Any:
    """Make a `TimmViT` with its projection, check that vectors live in its space, then repair it.

    A repair may change weights, so that the check comes before.

    Args:
        backbone: config of a `TimmViT`.
        vectors: what its embeddings of images are compared with.

    Raises:
        InputError: see `TimmViT`, `TextVectors.check_weights`; or another number of channels.
    """
    options = dict(backbone)
    model, repair = str(options.get("model")), options.pop("repair", None)
    frozen = options.get("frozen", True)
    choice = logged_choice(model, repair, frozen=frozen)
    if outputs := head_width(model):
        options["model_kwargs"] = {"num_classes": outputs, **(options.get("model_kwargs") or {})}
    built: Any = MODELS.build(options)
    vectors.check_weights(built.vit)
    width = embedding_width(built.vit)
    if width != vectors.vectors.shape[1]:
        raise InputError(
            f"the vectors have {vectors.vectors.shape[1]} channels, embeddings of images have "
            f"{width}: make vectors for this model with `ttrb text {model}`"
        )
    if choice is not None:
        add_repair(built.vit, choice)
        built.vit.requires_grad_(not frozen)
    return built
