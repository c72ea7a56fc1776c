"""Measure on images kept out of the ranking what moving a set of neurons does."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch
from torch import nn

from ttr_backbones.images.batches import ImageBatches, image_batches
from ttr_backbones.neuron_search.controls import random_neurons
from ttr_backbones.neuron_search.onset import Onset
from ttr_backbones.neuron_search.selection import Neuron, Trial
from ttr_backbones.neuron_search.verification import verify_neurons
from ttr_backbones.vits.neurons import RegisterNeurons

MOST_HELD_OUT = 64  # every trial runs them twice; they stay in memory, 0.6 MB each at 224 px
RANDOM_DRAWS = 3  # as in the paper's control


class HeldOutTrials:
    """Calling it moves a set of neurons and measures, see `Trial`.

    Args:
        vit: the model; afterwards as it was.
        model: its tag.
        onset: where outliers are counted, and what one is.
        images: the first 64 are read once and kept: every trial goes over them, and decoding is
            slow.
    """

    def __init__(self, vit: nn.Module, model: str, onset: Onset, images: ImageBatches) -> None:
        kept = list(islice((image.cpu() for batch in images for image in batch), MOST_HELD_OUT))
        self.vit, self.model, self.onset = vit, model, onset
        self.num_images = len(kept)
        self._images = image_batches(
            kept, vit, batch_size=images.batch_size, progress=images.progress
        )

    def __call__(self, neurons: tuple[Neuron, ...], num: int, step: str) -> Trial:
        """Move `neurons` to `num` registers; 0 only clears them.

        Raises:
            NoOutliersError: no held-out image has one, so there is nothing to measure.
        """
        seen = verify_neurons(
            self.vit,
            RegisterNeurons(self.model, layers_of(neurons)),
            self._images,
            threshold=self.onset.threshold,
            detect_block=self.onset.detect,
            num=num,
            compare=False,
        )
        return Trial(neurons, num, seen.outliers_before, seen.outliers_after, seen.cosine, step)

    def random_controls(self, best: Trial) -> list[Trial]:
        """Move as many random neurons of the same blocks, three times."""
        listed = RegisterNeurons(self.model, layers_of(best.neurons))
        generator = torch.Generator().manual_seed(0)
        drawn = [random_neurons(self.vit, listed, generator) for _ in range(RANDOM_DRAWS)]
        return [
            self(
                tuple((b, unit) for b, units in each.layers.items() for unit in units),
                best.num,
                "control",
            )
            for each in drawn
        ]


def layers_of(neurons: Iterable[Neuron]) -> dict[int, list[int]]:
    """Sort (block, unit) pairs into {block: [unit, ...]}."""
    layers: dict[int, list[int]] = {}
    for block, unit in neurons:
        layers.setdefault(block, []).append(unit)
    return layers
