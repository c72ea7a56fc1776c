"""One model on the same images and prompts, without and with a test-time register."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from torch import Tensor

from ttr_backbones.registers import (
    RegisterNeurons,
    add_test_time_registers,
    remove_test_time_registers,
)
from ttr_backbones.vlm import (
    VLM,
    Attribution,
    AttributionSpread,
    Pointing,
    attribute,
    pointing,
    spread,
)
from ttr_backbones.vlm.replay import Method
from ttr_backbones.vlm.tower import norm_threshold

KINDS = ("without a register", "with a register")
SHORT = ("without", "register")
"""The same above the columns of a table."""


@dataclass(frozen=True)
class Question:
    """One image and a question about it.

    Args:
        name: of the image, as it is shown.
        image: RGB.
        prompt: the question.
        noun: what it asks for; None where that has no boxes.
        boxes: of it, in pixels: x1, y1, x2, y2.
    """

    name: str
    image: Image.Image = field(repr=False)
    prompt: str
    noun: str | None = None
    boxes: Sequence[Sequence[float]] = ()

    @property
    def relative_boxes(self) -> list[list[float]]:
        """The boxes as shares of the image's width and height."""
        width, height = self.image.size
        return [[x1 / width, y1 / height, x2 / width, y2 / height] for x1, y1, x2, y2 in self.boxes]


@dataclass(frozen=True)
class ModelAnswer:
    """Answer and attribution of the model without or with a register."""

    attribution: Attribution
    spread: AttributionSpread
    pointing: Pointing | None


@dataclass(frozen=True)
class Pair:
    """The answers to one question without and with a register.

    Args:
        question: the question.
        outliers: the outlier patches of the model as it comes, bool [tiles, h, w]; None where no
            group of patches stands out.
        answers: without and with a register.
    """

    question: Question
    outliers: Tensor | None
    answers: tuple[ModelAnswer, ModelAnswer]

    @property
    def changes(self) -> bool:
        """Whether the answers differ."""
        return self.answers[0].attribution.token_ids != self.answers[1].attribution.token_ids


@dataclass(frozen=True)
class Comparison:
    """All questions.

    Args:
        pairs: one per question.
        threshold: the norm above which a patch is an outlier; None where none stands out.
    """

    pairs: list[Pair]
    threshold: float | None


def compare(
    vlm: VLM,
    questions: Sequence[Question],
    neurons: RegisterNeurons | Mapping[int, list[int]],
    *,
    method: Method = "attention",
    max_new_tokens: int = 32,
    batch_size: int = 1,
    progress: Callable[[int, int | None], None] | None = None,
) -> Comparison:
    """Ask a model all questions twice; it is left as it was.

    The outliers of both sides are those of the model as it comes, by the gap rule over all images
    on the norms after the block that the language model reads.

    Args:
        vlm: without registers, in eval mode.
        questions: one or more.
        neurons: the register neurons; they move as a list's file says, if it does.
        method: of `attribute`.
        max_new_tokens: of `attribute`.
        batch_size: of `attribute`.
        progress: called with (answers done, answers in all).

    Raises:
        InputError: as `attribute` and `add_test_time_registers`.
    """
    images, prompts = [q.image for q in questions], [q.prompt for q in questions]
    options: dict[str, Any] = {
        "method": method,
        "max_new_tokens": max_new_tokens,
        "batch_size": batch_size,
    }

    def done_after(first: int) -> Callable[[int, int | None], None] | None:
        if progress is None:
            return None
        return lambda done, _: progress(first + done, 2 * len(questions))

    edit = neurons.recorded_options if isinstance(neurons, RegisterNeurons) else {}
    # First, so that a list that does not fit is refused before hours of answers.
    add_test_time_registers(vlm.model, neurons, **edit)
    remove_test_time_registers(vlm.model)
    plain = attribute(vlm, images, prompts, progress=done_after(0), **options)
    add_test_time_registers(vlm.model, neurons, **edit)
    try:
        changed = attribute(vlm, images, prompts, progress=done_after(len(questions)), **options)
    finally:
        remove_test_time_registers(vlm.model)
    threshold = norm_threshold([attribution.norms for attribution in plain])
    pairs = []
    for question, *both in zip(questions, plain, changed, strict=True):
        outliers = None if threshold is None else both[0].norms > threshold
        without, with_register = (_answer(attribution, outliers, question) for attribution in both)
        pairs.append(Pair(question, outliers, (without, with_register)))
    return Comparison(pairs, threshold)


def _answer(attribution: Attribution, outliers: Tensor | None, question: Question) -> ModelAnswer:
    boxes = question.relative_boxes
    game = pointing(attribution, boxes) if boxes else None
    return ModelAnswer(attribution, spread(attribution, outliers), game)
