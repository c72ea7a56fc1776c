"""How long the forward part of the bench takes, and which of its variants fit into some minutes.

A CPU without instructions for bfloat16 takes a hundred times as long for it, so a pass of every
kind of number is timed before anything is promised.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from ttr_backbones.bench.contestants import as_variant
from ttr_backbones.bench.timing import seconds_of, times_for
from ttr_backbones.bench.variants import VARIANTS, Variant

_UNTIMED = 4  # passes besides the rounds: two before, and the count of operations with its own
_COMPILING = 20  # seconds, of one contestant at one batch size
_WARM = 0.5  # seconds of a first pass, beyond which it isn't repeated


def seconds_per_image(model: nn.Module, variant: Variant, image: Tensor) -> float:
    """Time one image through a variant; through the eager form of one that is compiled.

    Args:
        model: a contestant.
        variant: how to run it.
        image: [1, 3, H, W], on the device of the model.
    """
    run = as_variant(model, dataclasses.replace(variant, compiled=False))
    call = partial(run, variant.images(image))
    seconds = seconds_of(call, image.device)
    return seconds if seconds > _WARM else seconds_of(call, image.device)


@dataclasses.dataclass(frozen=True)
class Duration:
    """Worked out from one image through each variant and each contestant.

    Args:
        per_image: seconds of an image through the first contestant, in each variant.
        ratios: of each contestant's seconds to the first one's; some run the model many times.
        batch_sizes: images at a time.
        rounds: timings of each.
    """

    per_image: Mapping[Variant, float]
    ratios: Sequence[float]
    batch_sizes: Sequence[int]
    rounds: int

    @classmethod
    def measure(
        cls,
        models: Mapping[str, nn.Module],
        variants: Sequence[Variant],
        image: Tensor,
        batch_sizes: Sequence[int],
        rounds: int,
    ) -> Duration:
        """Time `image`, [1, 3, H, W], through all that runs."""
        eager = [seconds_per_image(model, VARIANTS["eager"], image) for model in models.values()]
        first = next(iter(models.values()))
        per_image = {variant: seconds_per_image(first, variant, image) for variant in variants}
        return cls(per_image, [each / eager[0] for each in eager], batch_sizes, rounds)

    def seconds(self, variant: Variant) -> float:
        """Of all contestants, at all batch sizes."""
        total = 0.0
        for batch_size in self.batch_sizes:
            for ratio in self.ratios:
                once = self.per_image[variant] * ratio * batch_size
                total += once * (_UNTIMED + self.rounds * times_for(once))
                total += _COMPILING * variant.compiled
        return total

    def fitting(self, limit: float) -> tuple[list[Variant], list[str]]:
        """Keep the first variant, and of the others what fits into `limit` seconds with it.

        Returns:
            What is kept, and a sentence about each that is not.
        """
        kept: list[Variant] = []
        notes = []
        for variant in self.per_image:
            total = sum(map(self.seconds, [*kept, variant]))
            if kept and total > limit:
                notes.append(
                    f"forward: without {variant.name}, which would take "
                    f"{_minutes(self.seconds(variant))}: --variants {variant.name} measures it"
                )
            else:
                kept.append(variant)
        return kept, notes

    def sentence(self, variants: Sequence[Variant]) -> str:
        """Say how long `variants` take, and what of it could be spared."""
        seconds = {variant: self.seconds(variant) for variant in variants}
        text = f"{_minutes(sum(seconds.values()))} for {len(self.ratios)} contestants"
        longest = max(variants, key=seconds.__getitem__)
        if len(variants) > 1 and seconds[longest] > sum(seconds.values()) / 2:
            text += f", {_minutes(seconds[longest])} of it for {longest.name} (see --variants)"
        return text


def _minutes(seconds: float) -> str:
    return f"about {math.ceil(seconds / 60)} min"
