"""What a comparison says in plain numbers and in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from ttr_backbones.attribution_page.comparison import KINDS, Comparison, ModelAnswer, Pair
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.report.summary import percent
from ttr_backbones.vlm.tower import feature_block

HALF = 0.5


def numbers(
    comparison: Comparison, *, model: str, vlm_model: Any, neurons: RegisterNeurons, method: str
) -> dict[str, Any]:
    """Put a comparison into plain data for JSON.

    Args:
        comparison: of `compare`.
        model: its name.
        vlm_model: the vision-language model.
        neurons: those that were moved.
        method: of attribution.

    Returns:
        `model`, `method`, `neurons` {block: [units]}, `block` that the language model reads,
        `threshold` of an outlier, `verdict`, `details`, `answers_changed`, `kinds`: for each kind
        the means over all questions (`AttributionSpread`, `largest_norm`, and over those with
        boxes that the model sees `pointing_accuracy`, `attention_inside`, `area`, and `pointed`,
        their number), and
        `questions`: name, prompt, noun, boxes and for each kind answer, tokens and the same
        numbers.
    """
    pairs = comparison.pairs
    found: dict[str, Any] = {
        "model": model,
        "method": method,
        "neurons": {str(b): u for b, u in neurons.layers.items()},
        "block": feature_block(vlm_model),
        "threshold": comparison.threshold,
        "answers_changed": sum(pair.changes for pair in pairs),
        "kinds": {
            kind: _means([pair.answers[index] for pair in pairs])
            for index, kind in enumerate(KINDS)
        },
        "questions": [_question(pair) for pair in pairs],
    }
    return {"verdict": verdict(found), "details": details(found), **found}


def _means(answers: Sequence[ModelAnswer]) -> dict[str, Any]:
    pointed = [answer.pointing for answer in answers if answer.pointing is not None]
    names = answers[0].spread.facts()
    return {
        **{name: _mean([answer.spread.facts()[name] for answer in answers]) for name in names},
        "largest_norm": max(answer.attribution.norms.max().item() for answer in answers),
        "pointed": len(pointed),
        "pointing_accuracy": _mean([float(game.hit) for game in pointed]),
        "attention_inside": _mean([game.inside for game in pointed]),
        "area": _mean([game.area for game in pointed]),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _question(pair: Pair) -> dict[str, Any]:
    question = pair.question
    return {
        "image": question.name,
        "prompt": question.prompt,
        "noun": question.noun,
        "boxes": [list(box) for box in question.boxes],
        "answer_changes": pair.changes,
        "kinds": {
            kind: {
                "answer": answer.attribution.answer,
                "tokens": answer.attribution.tokens,
                **answer.spread.facts(),
                "largest_norm": answer.attribution.norms.max().item(),
                "pointing": None if answer.pointing is None else asdict(answer.pointing),
            }
            for kind, answer in zip(KINDS, pair.answers, strict=True)
        },
    }


def verdict(found: dict[str, Any]) -> str:
    """Say in one sentence where answers look, without and with the register."""
    before, after = found["kinds"].values()
    if found["threshold"] is None:
        return (
            f"No patch of the tower is an outlier after block {found['block']}: there is nothing "
            "for a register to remove."
        )
    return (
        f"{percent(before['outliers'])} of the tower's patches are outliers and get "
        f"{percent(before['on_outliers'])} of the attention that answers pay to the image; with a "
        f"register these places get {percent(after['on_outliers'])}."
    )


def details(found: dict[str, Any]) -> str:
    """Say how many answers change, and where the maps point."""
    before, after = found["kinds"].values()
    count, changed = len(found["questions"]), found["answers_changed"]
    text = f"{changed} of {count} answers change{'s' * (count == 1)} with the register."
    if before["pointing_accuracy"] is not None:
        text += (
            f" The map's peak lies on the object in {percent(before['pointing_accuracy'])} of "
            f"{before['pointed']} questions without it, in {percent(after['pointing_accuracy'])} "
            "with it."
        )
    return text


ROWS: dict[str, tuple[str, Callable[[float], str]]] = {
    "outliers": ("Outlier patches of the plain tower", percent),
    "largest_norm": ("Largest patch norm", lambda value: f"{value:.0f}"),
    "on_image": ("Attention on the image", percent),
    "on_outliers": ("Of it, on outlier places", percent),
    "entropy": ("Entropy over the image", percent),
    "pointing_accuracy": ("Pointing accuracy", percent),
    "attention_inside": ("Attention inside the boxes", percent),
    "area": ("Area of the boxes", percent),
}
"""Rows of the table: number, what it is, how it is written."""


def rows(found: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The table of all questions: name and one cell per kind; what was not measured is left out."""
    kinds = found["kinds"].values()
    return [
        (label, ["–" if kind[name] is None else write(kind[name]) for kind in kinds])
        for name, (label, write) in ROWS.items()
        if any(kind[name] is not None for kind in kinds)
    ]
