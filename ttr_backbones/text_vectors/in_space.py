"""The vectors that belong to a model, and a backbone whose images live in their space."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmseg.registry import MODELS

from ttr_backbones.backbones.published_head import with_published_head
from ttr_backbones.backbones.repair_options import add_repair, resolve_repair
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.text_vectors.vectors import TextVectors
from ttr_backbones.vits.text_space import embedding_width

_ANY_CLASSES = (
    ", where CLASSES is imagenet, a file or the folder of the data (--source classifier for a "
    "model that was trained on these classes)"
)


def vectors_of(
    text: TextVectors | str | Path,
    backbone: Mapping[str, Any],
    *,
    classes: Path | None = None,
    option: str = "model.text",
) -> TextVectors:
    """Load the vectors of a model.

    Args:
        text: they themselves, or their file; `{model}` in it is the name of the model, its
            punctuation but for . _ - as _.
        backbone: config of a `TimmViT`: its name, and its weight file for the message.
        classes: file of the classes that they are of, for the message.
        option: of the config that names the file, for the message.

    Raises:
        MissingFileError: no such file; the message has the command that makes it.
        InputError: it holds none.
    """
    if isinstance(text, TextVectors):
        return text
    model, checkpoint = str(backbone.get("model", "")), backbone.get("checkpoint")
    path = file_of_model(text, model)
    if not path.is_file():
        weights = f"--checkpoint {checkpoint} " if checkpoint else ""
        raise MissingFileError(
            f"no text vectors at {path}: make them with `ttrb text {model} {weights}--classes "
            f"{classes or 'CLASSES'} --out {path}`{'' if classes else _ANY_CLASSES}, or give "
            f"another file as {option}"
        )
    return TextVectors.load(path)


def file_of_model(text: str | Path, model: str) -> Path:
    """Return the path of a model's vectors: `{model}` in `text` is its name, see `vectors_of`."""
    plain = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in model)
    return Path(str(text).replace("{model}", plain)).expanduser()


def backbone_in_space(backbone: Mapping[str, Any], vectors: TextVectors) -> Any:
    """Make a `TimmViT` with its projection, check that vectors live in its space, then repair it.

    A repair may change weights, so that the check comes before.

    Args:
        backbone: config of a `TimmViT`.
        vectors: what its embeddings of images, or its patches, are compared with.

    Raises:
        InputError: see `TimmViT`, `TextVectors.check_weights`; or another number of channels.
    """
    options = with_published_head(backbone)
    model, repair = str(options.get("model")), options.pop("repair", None)
    frozen = options.get("frozen", True)
    choice = resolve_repair(model, repair, frozen=frozen)
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
        if frozen:
            built.vit.requires_grad_(requires_grad=False)
    return built
