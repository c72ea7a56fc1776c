"""Which vectors patches are compared with: of texts, from a file, or rows of a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ttr_backbones.errors import InputError, MissingFileError, unknown_name
from ttr_backbones.packaged import configs_dir
from ttr_backbones.repairs import describe_repair
from ttr_backbones.text_vectors import TextVectors, classifier_vectors, read_classes
from ttr_backbones.vits.neurons import model_name

_OPTIONS = ("file", "folder", "classes", "rows")
_UNCHANGED = (None, "test_time")  # repairs that leave every weight as it was


def classes_file(name: str) -> Path:
    """Return a file of class names, of its name in `configs/classes` or its path.

    Raises:
        MissingFileError: there is none.
    """
    packaged = {path.stem: path for path in sorted((configs_dir() / "classes").glob("*.txt"))}
    if name in packaged:
        return packaged[name]
    path = Path(name).expanduser()
    if not path.is_file():
        raise MissingFileError(
            f"{unknown_name('file of classes', name, packaged)} (or the path of one: a line per "
            "class, its names separated by ', ')"
        )
    return path


def find_text(
    text: Any, vit: nn.Module, model: str, checkpoint: str | Path | None = None
) -> TextVectors:
    """Find the vectors that a config asks for.

    Args:
        text: `TextVectors`, or a mapping: `file`, what `ttrb text` or `TextVectors.save` wrote, or
            `folder`, where it is called MODEL_CLASSES.safetensors; `classes`, the names that it has
            to hold (a name in `configs/classes` or a file); or `rows` alone, {class: rows of the
            model's own classifier}.
        vit: the model, with or without a repair.
        model: its name.
        checkpoint: its weight file, if they come from one.

    Raises:
        MissingFileError: no such file; the message has the command that makes it.
        InputError: other options; vectors of other classes, of another model or other weights.
    """
    if isinstance(text, TextVectors):
        return _checked(text, vit)
    options: dict[str, Any] = dict(text) if isinstance(text, Mapping) else {"file": str(text)}
    for option in options:
        if option not in _OPTIONS:
            raise InputError(unknown_name("option of text", option, _OPTIONS))
    if "rows" in options:
        if len(options) > 1:
            raise InputError("text: rows of a classifier take no file, folder or classes")
        return classifier_vectors(vit, _row_numbers(options["rows"]))
    names = classes_file(options["classes"]) if options.get("classes") else None
    path = _path(options, names, model)
    if not path.is_file():
        source = f"--checkpoint {checkpoint} " if checkpoint else ""
        raise MissingFileError(
            f"no text vectors at {path}: make them with `ttrb text {model} {source}--classes "
            f"{names or 'CLASSES.txt'} --out {path}`, or give another file as model.text.file"
        )
    vectors = TextVectors.load(path)
    if names is not None and vectors.classes != (wanted := read_classes(names)):
        raise InputError(f"{path} is of other classes than {names}: {_differing(vectors, wanted)}")
    return _checked(vectors, vit)


def _path(options: Mapping[str, Any], names: Path | None, model: str) -> Path:
    if options.get("file"):
        return Path(options["file"]).expanduser()
    if not options.get("folder") or names is None:
        raise InputError(
            "text: expected file=FILE, or folder=DIR with classes=NAME, or rows of a classifier"
        )
    plain = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in model)
    return Path(options["folder"]).expanduser() / f"{plain}_{names.stem}.safetensors"


def _checked(vectors: TextVectors, vit: nn.Module) -> TextVectors:
    """Check whose vectors they are; under a repair that changes weights, by the name alone."""
    if (describe_repair(vit) or {}).get("type") in _UNCHANGED:
        vectors.check_weights(vit)
    elif vectors.model and model_name(vit) and vectors.model != model_name(vit):
        raise InputError(
            f"the text vectors live in the space of {vectors.model!r}, the model is "
            f"{model_name(vit)!r}: make vectors for this model with `ttrb text`"
        )
    return vectors


def _row_numbers(rows: Mapping[str, Any]) -> dict[str, list[int]]:
    """Spell rows out: of each class a list of numbers and of [first, last], last included."""
    spelled = {}
    for name, parts in dict(rows).items():
        numbers: list[int] = []
        for part in parts:
            span = list(part) if isinstance(part, Sequence) else [part, part]
            if len(span) != 2 or not all(isinstance(number, int) for number in span):
                raise InputError(
                    f"text.rows of {name!r}: {part!r}; expected numbers and pairs [first, last]"
                )
            numbers += range(span[0], span[1] + 1)
        spelled[str(name)] = numbers
    return spelled


def _differing(vectors: TextVectors, wanted: Sequence[tuple[str, ...]]) -> str:
    if len(vectors.classes) != len(wanted):
        return f"it has {len(vectors.classes)}, and {len(wanted)} are wanted"
    pairs = enumerate(zip(vectors.classes, wanted, strict=True))
    index, (has, want) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
    return f"class {index} has the names {', '.join(has)}, and wanted are {', '.join(want)}"
