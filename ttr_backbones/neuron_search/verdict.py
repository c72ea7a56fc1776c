"""The result of tuning in words: what was moved, what is left, and what the controls say."""

from __future__ import annotations

from typing import TypedDict

from ttr_backbones.neuron_search.selection import Trial

SPECIFIC = 0.5  # random neurons have to leave at least this share of the outliers


class Control(TypedDict):
    """What a control leaves: share of patches that are outliers, cosine of the other patches."""

    outliers: float
    cosine: float


def passes(best: Trial, random: Control) -> bool:
    """Whether the outliers are gone, and it takes these neurons to do it."""
    return best.solved and random["outliers"] >= SPECIFIC * best.before


def verdict(best: Trial, random: Control, zeroed: Control, num_held_out: int) -> str:
    """Say how `best` did on `num_held_out` images that its ranking has not seen."""
    return " ".join([_result(best, num_held_out), _random(best, random), _zeroed(best, zeroed)])


def _result(best: Trial, num_held_out: int) -> str:
    neurons = _counted(len(best.neurons), "neuron")
    blocks = sorted({block for block, _ in best.neurons})
    place = f"block{'s' * (len(blocks) > 1)} {_listed(blocks)}"
    registers = "one register" if best.num == 1 else f"{best.num} registers"
    images = _counted(num_held_out, "held-out image")
    numbers = (
        f"outliers in {images} fall from {_percent(best.before)} to {_percent(best.after)} of "
        f"the patches, and the other patches keep a cosine of {best.cosine:.3f} to what they were"
    )
    if best.solved:
        verb = "carries" if len(best.neurons) == 1 else "carry"
        return f"{neurons} of {place} {verb} the outliers: moved to {registers}, {numbers}."
    return (
        f"Failed: no set of neurons that was tried takes the outliers away. The best, {neurons} "
        f"of {place}, leaves {_percent(best.after / best.before)} of them: moved to {registers}, "
        f"{numbers}."
    )


def _random(best: Trial, random: Control) -> str:
    left = _percent(random["outliers"] / best.before)
    text = f"As many random neurons of the same blocks leave {left} of the outliers"
    if random["outliers"] < SPECIFIC * best.before:
        return f"{text}: failed, as it does not take these neurons to remove them."
    return f"{text}."


def _zeroed(best: Trial, zeroed: Control) -> str:
    left = _percent(zeroed["outliers"] / best.before)
    return (
        f"Only clearing the neurons, without a register, leaves {left} of them, with a cosine of "
        f"{zeroed['cosine']:.3f}."
    )


def _percent(share: float) -> str:
    """A percentage that is "0 %" or "100 %" only where it is exact."""
    value = 100 * share
    for digits in range(1, 5):
        if round(value, digits) not in (0, 100):
            return f"{value:.{digits}f} %"
    return f"{value:.0f} %"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _listed(numbers: list[int]) -> str:
    *head, last = map(str, numbers)
    return f"{', '.join(head)} and {last}" if head else last
