"""Seeding of the augmentations, sample by sample."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ttr_backbones.engine.sampler import Draw
from ttr_backbones.errors import InputError


@TRANSFORMS.register_module()
class SeedSample(BaseTransform):
    """Seeds numpy's and Python's global generators from the run's seed and the draw's number.

    Put it first in a training pipeline. Then a sample's augmentations depend neither on the number
    of workers nor on whether the run was resumed.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Seed from `results["sample_idx"]`, which mmengine's data sets fill with the index."""
        draw = results.get("sample_idx")
        if not isinstance(draw, Draw):
            raise InputError(
                "SeedSample expected a numbered draw as the sample's index, got "
                f"{draw!r} ({type(draw).__name__}). Set train_dataloader.sampler to "
                "dict(type='ResumableInfiniteSampler'), or take SeedSample out of the pipeline; it "
                "belongs in training pipelines only, and data set wrappers other than "
                "ConcatDataset and RepeatDataset lose the number."
            )
        words = np.random.SeedSequence([draw.seed, draw.number]).generate_state(2)
        # The transforms of mmcv and mmseg draw from the global generators and take no other.
        np.random.seed(words)  # noqa: NPY002, TID251
        random.seed(int(words[0]))  # noqa: TID251
        return results
