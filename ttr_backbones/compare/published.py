"""Which of the papers' numbers stands beside a measured one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ttr_backbones.recipes import PublishedNumber, RecipeName, published_numbers

_PREFERRED = "TTR paper"


@dataclass(frozen=True)
class Published:
    """A number that others measured, in the unit of the config's metric.

    Args:
        shown: the number and its deviation with the digits that were printed.
        source: where it stands, and how its protocol differs.
    """

    shown: str
    source: str

    @property
    def value(self) -> float:
        """The number."""
        return float(self.shown.partition(" ")[0])

    @property
    def std(self) -> float | None:
        """Its standard deviation, if that was published."""
        _, sign, std = self.shown.partition(" ± ")
        return float(std) if sign else None


def published_for(recipe: RecipeName, metric: str) -> list[Published]:
    """Return all numbers that were published for a recipe, in the order of `published.csv`.

    Args:
        recipe: backbone, repair and protocol.
        metric: name of the number.
    """
    wanted = (recipe.backbone, recipe.repair or "", recipe.protocol, metric)
    return [_shown(row) for row in published_numbers() if row[:4] == wanted]


def _shown(row: PublishedNumber) -> Published:
    return Published(
        f"{row.value} ± {row.std}" if row.std else row.value,
        f"{row.source} ({row.note})" if row.note else row.source,
    )


def papers_number(numbers: Mapping[str, Sequence[Published]], kind: str) -> Published | None:
    """Return the number to show for one repair, or None if none was published.

    The paper on test-time registers goes first, for it measured all kinds by one protocol; then
    the source that has numbers for most kinds, so that they compare; then the order of the list.

    Args:
        numbers: repair -> what was published for it.
        kind: one of them.
    """
    shared = Counter(number.source for found in numbers.values() for number in found)
    return max(
        numbers.get(kind, []),
        key=lambda number: (number.source.startswith(_PREFERRED), shared[number.source]),
        default=None,
    )
