"""Choose the smallest set of neurons that does the job: a search over trials, no model in sight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

SOLVED = 0.01  # solved: less than this share of the outliers is left
PRICE = 0.005  # a neuron that removes no outlier has to earn so much cosine similarity
REGISTER_PRICE = 0.02  # and every register after the first has to earn so much
LOOK_AHEAD = 4  # sets with so many more neurons than needed are tried for their cosine
MAX_REGISTERS = 4

Neuron = tuple[int, int]
"""Block and unit."""


@dataclass(frozen=True)
class Trial:
    """What is left when a set of neurons is moved.

    Args:
        neurons: the set, best ranked first.
        num: registers that the neurons were moved to.
        before: share of all patches that are outliers without registers.
        after: the same with them.
        cosine: mean cosine similarity of all other patches to what they were without registers.
        step: what the set was tried for: "ranking", "pruning", "registers" or "control".
    """

    neurons: tuple[Neuron, ...]
    num: int
    before: float
    after: float
    cosine: float
    step: str

    @property
    def solved(self) -> bool:
        """Whether the outliers are gone, but for less than 1 % of them."""
        return self.after < SOLVED * self.before

    @property
    def worth(self) -> float:
        """What ranks solved trials: similar features, few neurons, few registers."""
        return self.cosine - PRICE * len(self.neurons) - REGISTER_PRICE * (self.num - 1)


class Trials:
    """Tries every set once and remembers it; iterating gives all trials in order.

    Args:
        attempt: neurons, number of registers, step -> trial.
    """

    def __init__(self, attempt: Callable[[tuple[Neuron, ...], int, str], Trial]) -> None:
        self._attempt = attempt
        self._trials: dict[tuple[frozenset[Neuron], int], Trial] = {}

    def __call__(self, neurons: Sequence[Neuron], num: int, step: str) -> Trial:
        """Return the trial of this set, made now or before."""
        key = frozenset(neurons), num
        if key not in self._trials:
            self._trials[key] = self._attempt(tuple(neurons), num, step)
        return self._trials[key]

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials.values())


def choose_neurons(ranking: Sequence[Neuron], attempt: Trials) -> Trial:
    """Find the smallest set that solves it, starting from the head of the ranking.

    The head is doubled until it solves it and then bisected. The next few longer heads are tried
    too, as a neuron that removes no outlier may still bring the other patches closer to what they
    were. Last, every neuron that the set can do without is dropped.

    Returns:
        The trial chosen; the one with the fewest outliers left if nothing solved it.
    """
    trials: list[Trial] = []

    def solves(count: int) -> bool:
        trials.append(attempt(ranking[:count], 1, "ranking"))
        return trials[-1].solved

    fails, count = 0, 1
    while not solves(count):
        if count == len(ranking):
            return min(trials, key=lambda trial: (trial.after, len(trial.neurons)))
        fails, count = count, min(2 * count, len(ranking))
    while count - fails > 1:
        middle = (fails + count) // 2
        fails, count = (fails, middle) if solves(middle) else (middle, count)
    for longer in range(count + 1, min(count + LOOK_AHEAD, len(ranking)) + 1):
        solves(longer)
    best = max((trial for trial in trials if trial.solved), key=lambda trial: trial.worth)
    return _prune(best, attempt)


def choose_registers(best: Trial, attempt: Trials) -> Trial:
    """Try two to four registers for the neurons of `best`; keep one unless more is clearly better.

    Returns:
        `best`, or a trial with more registers that solves what `best` does not, or that is worth
        more.
    """
    for num in range(best.num + 1, MAX_REGISTERS + 1):
        more = attempt(best.neurons, num, "registers")
        if _quality(more) > _quality(best):
            best = more
    return best


def _quality(trial: Trial) -> tuple[bool, float]:
    return trial.solved, trial.worth if trial.solved else -trial.after


def _prune(best: Trial, attempt: Trials) -> Trial:
    """Drop the neurons that can go, from the lowest rank up."""
    for neuron in reversed(best.neurons):
        fewer = tuple(other for other in best.neurons if other != neuron)
        if fewer:
            trial = attempt(fewer, best.num, "pruning")
            if trial.solved and trial.worth >= best.worth:
                best = trial
    return best
