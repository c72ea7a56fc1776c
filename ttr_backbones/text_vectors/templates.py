"""The sentences that a name is put into, and the names of ImageNet's classes."""

from __future__ import annotations

from pathlib import Path

from ttr_backbones.datasets.text_file import read_text
from ttr_backbones.errors import InputError, MissingFileError, unknown_name
from ttr_backbones.text_vectors.open_clip_package import require_open_clip

PLACE = "{}"  # of the name in a template
PHOTO_TEMPLATE = ("a photo of a {}.",)


def imagenet_templates() -> tuple[str, ...]:
    """OpenAI's 80 sentences for ImageNet, as open_clip has them."""
    require_open_clip()
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

    return tuple(template(PLACE) for template in OPENAI_IMAGENET_TEMPLATES)


def imagenet_names() -> tuple[str, ...]:
    """The cleaned names of ImageNet's 1,000 classes, as open_clip has them, in the usual order."""
    require_open_clip()
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    return tuple(IMAGENET_CLASSNAMES)


def templates_named(name: str) -> tuple[str, ...]:
    """Return templates with `{}` in the place of the class name.

    Args:
        name: "imagenet" (80), "one" ("a photo of a {}."), or a file with one per line.

    Raises:
        MissingFileError: no such file.
        InputError: an unknown name, open_clip is not installed, or a line without one `{}`.
    """
    if name == "imagenet":
        return imagenet_templates()
    if name == "one":
        return PHOTO_TEMPLATE
    path = Path(name).expanduser()
    if not path.is_file():
        if "." in name or "/" in name:
            raise MissingFileError(f"no file of templates at {name}: expected one per line")
        raise InputError(f"{unknown_name('templates', name, ('imagenet', 'one'))} Or give a file")
    lines = [line.strip() for line in read_text(path).splitlines()]
    templates = tuple(line for line in lines if line)
    wrong = [line for line in templates if line.count(PLACE) != 1]
    if wrong or not templates:
        what = f"{wrong[0]!r}" if wrong else "nothing"
        raise InputError(f"{path} has {what}: expected lines with one {PLACE} for the class name")
    return templates
