"""Verdict on what a repair does to a model, relative to a shift of the images by one pixel."""

from __future__ import annotations

from dataclasses import dataclass

from ttr_backbones.neuron_search.references import ERRORS, Excess, excess_over
from ttr_backbones.neuron_search.verification import REMAINING
from ttr_backbones.repairs.effects import NONE, SHIFTED, Effect, Effects
from ttr_backbones.repairs.registry import repair_named


@dataclass(frozen=True)
class Judgement:
    """The verdict on one repair.

    Args:
        removes: whether at most 1 % of the outliers are left by norm and by direction; None for a
            model without outliers.
        excess: cost beyond that of images moved by one pixel, of "cosine" and, with a classifier,
            of "top1_agreement"; paired by image.
        words: all of it in sentences, with every side effect.
    """

    removes: bool | None
    excess: dict[str, Excess]
    words: str

    @property
    def cheap(self) -> bool:
        """Whether the side effects are at most those of a shift by a pixel."""
        return all(each.holds for each in self.excess.values())

    @property
    def passed(self) -> bool:
        """Whether the outliers are gone, at no more than that cost."""
        return bool(self.removes) and self.cheap


def judge(effects: Effects, name: str, kind: str) -> Judgement:
    """Judge the effects of one repair.

    Args:
        effects: of `measure_effects`.
        name: of the column.
        kind: type of its repair.
    """
    before, after, shift = (effects.columns[key] for key in (NONE, name, SHIFTED))
    excess = {"cosine": _excess(after, shift, 0)}
    if after.top1_agreement is not None:
        excess["top1_agreement"] = _excess(after, shift, 1)
    removes = None
    if before.outliers is not None:
        removes = _left(before.outliers, after.outliers) <= REMAINING
        removes = removes and _left(before.along, after.along) <= REMAINING
    judged = Judgement(removes, excess, "")
    sentences = [
        _about_outliers(effects, before, after, judged),
        _about_costs(after, shift),
        _about_the_sum(judged),
        _about_the_model(after, kind),
    ]
    return Judgement(removes, excess, " ".join(sentences))


def _left(before: float | None, after: float | None) -> float:
    """Share of the outliers that is left; 0 where there were none of this sort."""
    return (after or 0.0) / before if before else 0.0


def _excess(after: Effect, shift: Effect, measure: int) -> Excess:
    return excess_over(after.image_costs[:, measure], shift.image_costs[:, measure])


def _about_outliers(effects: Effects, before: Effect, after: Effect, judged: Judgement) -> str:
    if before.outliers is None:
        norms = f"the largest norm goes from {before.largest:.4g} to {after.largest:.4g}"
        return f"The model as it is has no outliers, so there is nothing to remove; {norms}."
    shares = f"{percent(before.outliers)} to {percent(after.outliers or 0.0)} of the patches"
    text = (
        f"{'Removes the outliers' if judged.removes else 'Outliers are left'}: by their norm "
        f"(above {effects.threshold:.4g} after block {effects.detect_block}) they go from {shares}"
    )
    if before.along is not None:
        text += (
            f", by the direction of the final features from {percent(before.along)} to "
            f"{percent(after.along or 0.0)}"
        )
    return f"{text}; the largest norm goes from {before.largest:.4g} to {after.largest:.4g}."


def _about_costs(after: Effect, shift: Effect) -> str:
    parts = [
        f"the other patches keep a cosine of {after.cosine or 0:.3f} to what they were (images "
        f"moved by a pixel: {shift.cosine or 0:.3f})"
    ]
    if after.top1_agreement is not None and shift.top1_agreement is not None:
        parts.append(
            f"{percent(after.top1_agreement)} of the images keep their top-1 class "
            f"({percent(shift.top1_agreement)})"
        )
    if after.neighbours is not None and shift.neighbours is not None:
        parts.append(
            f"{percent(after.neighbours)} of their five nearest images stay "
            f"({percent(shift.neighbours)})"
        )
    return f"Side effects: {', '.join(parts)}."


def _about_the_sum(judged: Judgement) -> str:
    over = [
        f"{name} by {each.mean:.3f} ± {each.error:.3f}"
        for name, each in (
            ("1 - cosine", judged.excess["cosine"]),
            ("changed classes", judged.excess.get("top1_agreement")),
        )
        if each is not None and not each.holds
    ]
    if not over:
        return f"That is at most what the shift does, within {ERRORS:.0f} standard errors."
    return f"That is more than the shift does: {' and '.join(over)} (mean ± standard error)."


def _about_the_model(after: Effect, kind: str) -> str:
    tokens = {0: "No token is added", 1: "One token is added"}.get(
        after.tokens_added, f"{after.tokens_added} tokens are added"
    )
    weights = "weights change" if repair_named(kind).changes_weights else "weights stay"
    time = (
        "" if after.run_time is None else f", and a pass takes {after.run_time:.2f} times as long"
    )
    return f"{tokens}, {weights}{time}."


def percent(share: float) -> str:
    """Three digits and the sign."""
    return f"{100 * share:.3g} %"
