"""Neighbour replacement as a repair: outliers taken out of the map behind one block, no training.

As SC-CLIP (arXiv 2411.15869) and SFP do for open-vocabulary CLIP; a control beside what keeps a
model from writing outliers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.onset import find_onset
from ttr_backbones.neuron_search.provenance import creation_record
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.neighbours.outlier_patches import (
    by_direction,
    by_local_outlier_factor,
    by_norm,
)
from ttr_backbones.repairs.neighbours.replacement import replaced_by_neighbours
from ttr_backbones.repairs.registry import register_repair
from ttr_backbones.repairs.repair import Repair
from ttr_backbones.repairs.sinder.directions import Direction, defect_directions
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.grid_blocks import NotesGrid, PatchChange, change_patches
from ttr_backbones.vits.neurons import RegisterNeurons

By = Literal["norm", "direction", "lof"]


class NeighbourReplacement(PatchChange):
    """A block behind which patches that stand out are replaced by their neighbours."""

    about: dict[str, Any]
    by: By
    threshold: float
    neighbours: int
    share: float
    direction: Tensor | None

    def restore(self) -> None:
        """Replace nothing any more."""
        super().restore()
        for name in ("about", "by", "threshold", "neighbours", "share", "direction"):
            delattr(self, name)

    def changed(self, patches: Tensor) -> Tensor:
        """[B, h, w, C] -> the same shape."""
        if self.by == "norm":
            flagged = by_norm(patches, self.threshold)
        elif self.direction is not None:
            flagged = by_direction(patches, self.direction, self.threshold)
        else:
            flagged = by_local_outlier_factor(patches, self.neighbours, self.share)
        return replaced_by_neighbours(patches, flagged)

    def extra_repr(self) -> str:
        """Which patches."""
        return f"patches replaced by their neighbours: {self.about}"


@register_repair
class Neighbours(Repair):
    """Patches that stand out behind a block are replaced by the mean of their neighbours."""

    type = "neighbours"
    label = "neighbour replacement"
    colour = "#009e73"
    fit_options: ClassVar[Mapping[str, str]] = {
        "by": "what stands out: norm; direction; lof, the local outlier factor as SC-CLIP (norm)",
        "block": "behind which; by default the first with outliers, of lof the last but one",
        "threshold": "norm above which a patch stands out (the gap's middle), or |cos| (0.7)",
        "direction": "of direction: block, product, empirical, random (block)",
        "neighbours": "of lof: how many patches, by distance (30)",
        "share": "of lof: part of the patches that is replaced (0.05)",
        "seed": "of direction=random (0)",
    }
    options: ClassVar[Mapping[str, str]] = {
        "block": "in place of the fitted one",
        "threshold": "in place of the fitted one",
    }
    swaps = (NeighbourReplacement, NotesGrid)

    def fit(
        self,
        vit: nn.Module,
        images: ImageBatches,
        *,
        by: By = "norm",
        block: int | None = None,
        threshold: float | None = None,
        direction: Direction = "block",
        neighbours: int = 30,
        share: float = 0.05,
        seed: int = 0,
    ) -> Artifact:
        """Find the block and the threshold, where they are not given.

        Raises:
            NoOutliersError: they are not given and the model has no outliers on these images.
            InputError: an option that cannot be.
        """
        if by not in get_args(By):
            raise InputError(unknown_name("by", str(by), get_args(By)))
        depth = len(family_of(vit).blocks(vit))
        if by == "lof" and block is None:
            block = max(depth - 2, 0)
        if by != "lof" and (block is None or (by == "norm" and threshold is None)):
            onset = find_onset(vit, images)
            block = onset.first if block is None else block
            threshold = onset.threshold if threshold is None and by == "norm" else threshold
        facts: dict[str, Any] = {"by": by, "block": block}
        _check_block(facts["block"], depth)
        tensors: dict[str, Tensor] = {}
        if by == "lof":
            facts |= {"neighbours": neighbours, "share": share}
        else:
            facts["threshold"] = 0.7 if threshold is None else threshold
        provenance = {
            "source": "SC-CLIP, arXiv 2411.15869, with options",
            **creation_record(vit, images),
        }
        if by == "direction":
            directions = defect_directions(vit, direction, images, seed=seed)
            tensors["direction"] = directions[facts["block"]]
            provenance |= {"direction": direction, "seed": seed}
        artifact = Artifact(self.type, "", tensors, facts, provenance)
        self.check(artifact)
        return artifact

    def apply(
        self,
        vit: nn.Module,
        artifact: Artifact,
        *,
        block: int | None = None,
        threshold: float | None = None,
        **options: Any,
    ) -> None:
        """Let the block replace patches from now on."""
        del options
        other = {"block": block, "threshold": threshold}
        facts = {**artifact.facts, **{k: v for k, v in other.items() if v is not None}}
        _check_facts(facts)
        about = {**facts, "sha256": artifact.sha256}
        attributes = {"threshold": 0.0, "neighbours": 0, "share": 0.0, "direction": None}
        attributes |= {k: v for k, v in facts.items() if k != "block"}
        change_patches(
            vit,
            facts["block"],
            NeighbourReplacement,
            {**attributes, **artifact.tensors, "about": about},
        )

    def describe(self, vit: nn.Module) -> dict[str, Any]:
        """The block, what stands out, and the hash of the artifact."""
        blocks = [each for each in vit.modules() if isinstance(each, NeighbourReplacement)]
        return dict(blocks[0].about)

    def check(self, artifact: Artifact) -> None:
        """A block, and what stands out there."""
        _check_facts(artifact.facts)
        direction = artifact.tensors.get("direction")
        expected = {"direction"} if artifact.facts["by"] == "direction" else set()
        if artifact.tensors.keys() != expected or (direction is not None and direction.ndim != 1):
            raise InputError(
                "an artifact of type='neighbours' has one tensor, `direction` [C], with "
                f"by='direction', and else none; this one has {', '.join(artifact.tensors) or '-'}"
            )

    def example(self, vit: nn.Module, images: ImageBatches, neurons: RegisterNeurons) -> Artifact:
        """Look for norms behind the last block that are never reached."""
        del neurons
        last = len(family_of(vit).blocks(vit)) - 1
        return self.fit(vit, images, block=last, threshold=torch.finfo(torch.float32).max)


_EXPECTED = {
    "norm": {"by", "block", "threshold"},
    "direction": {"by", "block", "threshold"},
    "lof": {"by", "block", "neighbours", "share"},
}


def _check_facts(facts: Mapping[str, Any]) -> None:
    by = facts.get("by")
    if by not in _EXPECTED or facts.keys() != _EXPECTED[by]:
        raise InputError(
            "an artifact of type='neighbours' has by='norm' or 'direction' with block and "
            "threshold, or by='lof' with block, neighbours and share; this one has "
            f"{dict(facts)}"
        )
    if by == "lof":
        _check_number("neighbours", facts["neighbours"], facts["neighbours"] >= 1, "at least 1")
        _check_number("share", facts["share"], 0 < facts["share"] < 1, "between 0 and 1")
    else:
        most = 1.0 if by == "direction" else float("inf")
        within = 0 < facts["threshold"] < most
        _check_number("threshold", facts["threshold"], within, f"between 0 and {most:g}")


def _check_number(name: str, value: Any, within: bool, expected: str) -> None:
    if not within:
        raise InputError(f"{name}={value!r}: expected a number {expected}")


def _check_block(block: int, depth: int) -> None:
    if not 0 <= block < depth:
        raise InputError(f"no block {block}: the model has blocks 0..{depth - 1}")
