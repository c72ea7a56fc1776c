"""What was measured of a list of register neurons, as columns and words like those of repairs."""

from __future__ import annotations

import torch

from ttr_backbones.neuron_search.references import ERRORS, SHARES
from ttr_backbones.neuron_search.verification import REGISTER, REMAINING, SPECIFIC, Verification
from ttr_backbones.repairs.effects import NONE, SHIFTED, Effect, Effects
from ttr_backbones.repairs.judgement import percent

TITLES = {
    REGISTER: "test-time register",
    "cleared": "cleared neurons (control)",
    "random": "random neurons (control)",
}
_ALLOWED = {SHIFTED: "a shift by a pixel", "cleared": "half of what clearing the neurons does"}
_COSTS = {"cosine": "1 - cosine", "top1_agreement": "changed classes"}
_NO_COSTS = torch.zeros(0, 2)


def verification_effects(seen: Verification, size: tuple[int, int]) -> Effects:
    """Lay a verification out as the columns of a table of repairs.

    Args:
        seen: of `verify_neurons`.
        size: height and width of its images.

    Returns:
        The model as it is, with the register, with each control, and on shifted images; what a
        verification does not measure (direction, neighbours, time) is None.
    """
    classes = seen.top1_agreement is not None
    columns = {
        NONE: _effect(seen.outliers_before, seen.largest_before, 1.0, 1.0 if classes else None, 0),
        REGISTER: _effect(
            seen.outliers_after, seen.largest_after, seen.cosine, seen.top1_agreement, seen.num
        ),
    }
    tokens = {"cleared": 0, "random": max(seen.num, 1), SHIFTED: 0}
    for name, added in tokens.items():
        if name in seen.references:
            change = seen.references[name]
            top1 = change.top1_agreement if classes else None
            columns[name] = _effect(change.outliers, change.largest, change.cosine, top1, added)
    return Effects(seen.num_images, size, seen.detect_block, seen.threshold, "", columns)


def _effect(
    outliers: float, largest: float, cosine: float, top1: float | None, tokens: int
) -> Effect:
    return Effect(outliers, None, largest, cosine, top1, None, tokens, None, _NO_COSTS)


def verification_words(seen: Verification) -> str:
    """Say in sentences what holds and what does not, by the rules of `Verification.checks`."""
    checks = seen.checks
    removed = "Removes the outliers" if checks["remaining"] else "Outliers are left"
    sentences = [
        f"{removed}: {percent(seen.remaining)} of them stay (at most {percent(REMAINING)} may); "
        f"the largest norm goes from {seen.largest_before:.4g} to {seen.largest_after:.4g}."
    ]
    if seen.num:
        sentences.append(f"The registers have a norm of {seen.register_norm:.4g}, the mean.")
    elif "register" in checks:
        sentences.append("There is no register, which is a control and no repair.")
    if "random" in checks:
        left = seen.references["random"].outliers / seen.outliers_before
        sentences.append(
            f"Random neurons leave {percent(left)} of the outliers (at least {percent(SPECIFIC)} "
            f"have to stay){'' if checks['random'] else ', so they do it too'}."
        )
    sentences += [_about_cost(seen, measure) for measure in seen.excess]
    if seen.top1_agreement is None:
        sentences.append("The model has no classifier, so no classes were compared.")
    if seen.excess:
        sentences.append(
            "A cost may be that of a shift by a pixel or half of that of clearing, within "
            f"{ERRORS:.0f} standard errors of the difference paired by image."
        )
    return " ".join(sentences)


def _about_cost(seen: Verification, measure: str) -> str:
    excess = seen.excess[measure]
    within = [_ALLOWED[name] for name in SHARES if name in excess and excess[name].holds]
    if within:
        return f"{_COSTS[measure].capitalize()}: within {within[0]}."
    name, over = min(excess.items(), key=lambda item: item[1].mean)
    return (
        f"{_COSTS[measure].capitalize()}: {over.mean:.3f} ± {over.error:.3f} above "
        f"{_ALLOWED[name]} (mean ± standard error)."
    )
