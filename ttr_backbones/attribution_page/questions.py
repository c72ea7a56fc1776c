"""Images, a prompt and maybe boxes -> questions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from ttr_backbones.attribution_page.comparison import Question
from ttr_backbones.datasets.coco_instances import Instances
from ttr_backbones.errors import InputError
from ttr_backbones.images.photos import UnusablePhotoError, read_rgb
from ttr_backbones.vlm.category import CATEGORY, category_prompts


def read_images(
    files: Sequence[Path], *, skip: bool = False
) -> tuple[dict[Path, Image.Image], list[tuple[Path, str]]]:
    """Read photographs, upright RGB.

    Args:
        files: the images.
        skip: leave those out that cannot be read.

    Returns:
        The images by file, and the files left out, each with the reason.

    Raises:
        InputError: a file that cannot be read, without `skip`; or none can.
    """
    images, bad = {}, []
    for file in files:
        try:
            images[file] = read_rgb(file)
        except UnusablePhotoError as error:  # noqa: PERF203 -- all of them are named
            bad.append((file, str(error)))
    if bad and (not skip or not images):
        listed = "; ".join(f"{file}: {why}" for file, why in bad[:20])
        raise InputError(
            f"{len(bad)} of {len(files)} images cannot be used: repair or remove them, or go on "
            f"without them: --skip-bad. {listed}"
        )
    return images, bad


def boxes_by_file(path: Path) -> dict[str, dict[str, list[list[int]]]]:
    """Boxes of a COCO instances file by file name and category.

    Raises:
        MissingFileError: no such file.
        InputError: no instances file, without categories, with entries that are wrong, or
            with several images of one name.
    """
    instances = Instances(str(path))
    if instances.problems:
        raise InputError("\n".join(instances.problems[:20]))
    if not instances.named_boxes:
        raise InputError(f"{path} names no category of its objects: expected COCO's `categories`")
    names = Counter(Path(image["file_name"]).name for image in instances.images)
    name, times = names.most_common(1)[0]
    if times > 1:
        raise InputError(
            f"{path} has {times} images named {name}: expected names that tell images apart "
            "without their folders"
        )
    return {
        Path(image["file_name"]).name: instances.named_boxes[image["id"]]
        for image in instances.images
        if image["id"] in instances.named_boxes
    }


def questions(
    images: Mapping[Path, Image.Image],
    names: Mapping[Path, str],
    prompt: str,
    boxes: Mapping[str, Mapping[str, Sequence[Sequence[int]]]] | None = None,
) -> list[Question]:
    """Ask about every image.

    Args:
        images: by file.
        names: how each is shown.
        prompt: with `{category}` every category of every image is asked for; without, the boxes
            are those of the category that the prompt names.
        boxes: of `boxes_by_file`; None without boxes.

    Raises:
        InputError: `{category}` without boxes, boxes for none of the images, or a prompt that
            names no category.
    """
    if boxes is None:
        if CATEGORY in prompt:
            raise InputError(
                f"the prompt has {CATEGORY}, but there are no boxes: give --boxes FILE"
            )
        return [Question(names[file], image, prompt) for file, image in images.items()]
    known = sorted({noun for of_image in boxes.values() for noun in of_image}, key=len)
    if not any(file.name in boxes for file in images):
        raise InputError("the boxes are of none of the images: expected the same file names")
    named = next((noun for noun in reversed(known) if _names(prompt, noun)), None)
    if CATEGORY not in prompt and named is None:
        raise InputError(
            f"the prompt {prompt!r} names no category that has boxes: expected one of "
            f"{', '.join(sorted(known)[:20])}, ..., or {CATEGORY} in its place"
        )
    found = []
    for file, image in images.items():
        of_image = boxes.get(file.name, {})
        if CATEGORY in prompt:
            found += [
                Question(names[file], image, question_text, noun, of_noun)
                for noun, question_text, of_noun in category_prompts(prompt, of_image)
            ]
        else:
            found.append(Question(names[file], image, prompt, named, of_image.get(str(named), ())))
    return found


def _names(prompt: str, noun: str) -> bool:
    return re.search(rf"\b{re.escape(noun)}s?\b", prompt, re.IGNORECASE) is not None
