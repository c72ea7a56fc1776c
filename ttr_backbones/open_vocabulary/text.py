"""Which vectors patches are compared with: of texts, from a file, or rows of a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ttr_backbones.errors import InputError, MissingFileError, unknown_name
from ttr_backbones.package_data import configs_dir
from ttr_backbones.text_vectors import TextVectors, read_classes
from ttr_backbones.text_vectors.in_space import file_of_model, vectors_of

_OPTIONS = ("file", "folder", "classes", "rows")


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


def find_text(text: Any, backbone: Mapping[str, Any]) -> TextVectors:
    """Find the vectors of texts that a config asks for.

    Args:
        text: `TextVectors`; or a file, what `ttrb text` or `TextVectors.save` wrote; or a mapping:
            `file`, or `folder`, where it is called MODEL_CLASSES.safetensors; `classes`, the names
            that it has to hold (a name in `configs/classes` or a file).
        backbone: config of the `TimmViT`.

    Raises:
        MissingFileError: no such file; the message has the command that makes it.
        InputError: other options, or vectors of other classes.
    """
    if not isinstance(text, Mapping):
        return vectors_of(text, backbone, option="model.text.file")
    options: dict[str, Any] = dict(text)
    for option in options:
        if option not in _OPTIONS:
            raise InputError(unknown_name("option of text", option, _OPTIONS))
    names = classes_file(options["classes"]) if options.get("classes") else None
    path = _path(options, names)
    vectors = vectors_of(path, backbone, classes=names, option="model.text.file")
    if names is not None and vectors.classes != (wanted := read_classes(names)):
        raise InputError(f"{path} is of other classes than {names}: {_differing(vectors, wanted)}")
    return vectors


def text_file(text: Any, backbone: Mapping[str, Any]) -> Path | None:
    """Return the path of the vectors that a config asks for; None where it names no file.

    Args:
        text: see `find_text`; rows of a classifier are in no file.
        backbone: config of the `TimmViT`.
    """
    model = str(backbone.get("model", ""))
    if isinstance(text, str | Path):
        return file_of_model(text, model)
    if not isinstance(text, Mapping) or not (text.get("file") or text.get("folder")):
        return None
    names = classes_file(text["classes"]) if text.get("classes") else None
    return file_of_model(_path(text, names), model)


def rows_of_classes(text: Any) -> dict[str, list[int]] | None:
    """Return the rows of the model's own classifier that stand for each class.

    Args:
        text: dict(rows={class: numbers and pairs [first, last], last included}); of anything else
            there are none, and the answer is None.

    Raises:
        InputError: other options beside the rows, or rows of another form.
    """
    if not isinstance(text, Mapping) or "rows" not in text:
        return None
    if len(text) > 1:
        raise InputError("text: rows of a classifier take no file, folder or classes")
    return _row_numbers(text["rows"])


def _path(options: Mapping[str, Any], names: Path | None) -> str:
    if options.get("file"):
        return str(options["file"])
    if not options.get("folder") or names is None:
        raise InputError(
            "text: expected file=FILE, or folder=DIR with classes=NAME, or rows of a classifier"
        )
    return f"{options['folder']}/{{model}}_{names.stem}.safetensors"


def _row_numbers(rows: Mapping[str, Any]) -> dict[str, list[int]]:
    """Spell out numbers and pairs [first, last]."""
    spelled = {}
    for name, parts in dict(rows).items():
        numbers: list[int] = []
        for part in parts:
            span = list(part) if isinstance(part, Sequence) else [part, part]
            numeric = len(span) == 2 and all(isinstance(number, int) for number in span)
            if not numeric or span[1] < span[0]:
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
    index, (has, expected) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
    return f"class {index} has the names {', '.join(has)}, and wanted are {', '.join(expected)}"
