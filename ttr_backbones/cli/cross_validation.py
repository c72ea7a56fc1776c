"""What a sweep is worth on images that its settings were not chosen on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ttr_backbones.evaluation.split_half import HeldOutScores, held_out_scores, random_halves
from ttr_backbones.text_table import aligned

if TYPE_CHECKING:
    from ttr_backbones.object_discovery.sweep import SweepSetting

Hits = Mapping["SweepSetting", NDArray[np.bool_]]
NOTE = (
    "held out: the best setting of each repair is chosen on a random half of the images and scored "
    "on the other half, and the other way round; mean ± standard deviation over the splits. The "
    "deviation says how much the split matters: the splits share their images, so it is no "
    "standard error. Differences are on the same splits."
)


def cross_validated(hits: Mapping[str, Hits], splits: int, seed: int) -> list[dict[str, Any]]:
    """Choose on one half and report on the other, for every repair on the same splits.

    Args:
        hits: repair -> setting -> whether the object was found, for every image; the first repair
            is what the others are compared with.
        splits: number of random halves.
        seed: of the halves.

    Returns:
        One row per repair, percent.

    Raises:
        InputError: too few images.
    """
    first = next(iter(hits.values()))
    halves = random_halves(len(next(iter(first.values()))), splits, seed)
    found = {repair: _held_out(of_repair, halves) for repair, of_repair in hits.items()}
    plain = next(iter(found.values()))
    return [
        _row(repair, of_repair, plain, list(hits[repair])) for repair, of_repair in found.items()
    ]


def _held_out(hits: Hits, halves: NDArray[np.bool_]) -> HeldOutScores:
    """Choose and score the settings of a repair, hits [N] each, on halves [R, N], in percent."""
    percent = 100.0 * np.stack(list(hits.values()))
    parts = np.stack([percent, np.ones_like(percent)], axis=2)
    return held_out_scores(parts, halves, lambda sums: np.asarray(sums[..., 0] / sums[..., 1]))


def _row(
    repair: str, found: HeldOutScores, plain: HeldOutScores, settings: Sequence[SweepSetting]
) -> dict[str, Any]:
    most, share = found.most_chosen()
    difference = found.scores - plain.scores
    return {
        "repair": repair,
        "held_out": float(found.scores.mean()),
        "std": float(found.scores.std()),
        "difference": float(difference.mean()),
        "difference_std": float(difference.std()),
        "splits": len(found.scores),
        "setting": settings[most]._asdict(),
        "chosen": share,
    }


def held_out_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lay the rows out for a terminal."""
    first = str(rows[0]["repair"])
    head = ["repair", "held-out CorLoc", f"difference to {first}", "setting chosen most often"]
    cells = [
        [
            str(row["repair"]),
            f"{row['held_out']:.2f} ± {row['std']:.2f}",
            "" if row is rows[0] else f"{row['difference']:+.2f} ± {row['difference_std']:.2f}",
            f"{_setting(row['setting'])} ({row['chosen']:.0%} of the halves)",
        ]
        for row in rows
    ]
    return aligned([head, *cells], "lrrl")


def _setting(setting: Mapping[str, Any]) -> str:
    norm = ", normalized" if setting["normalize"] else ""
    return f"block {setting['block']}, {setting['facet']}{norm}, bias {setting['bias']:g}"
