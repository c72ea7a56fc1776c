"""The weights of the block that writes outliers, projected off their direction: no training.

This package's own control beside SINDER, in no paper: it asks what the training adds to the
direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.onset import find_onset
from ttr_backbones.neuron_search.provenance import creation_record
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.changed_weights import ChangedWeights, describe_changes
from ttr_backbones.repairs.controls import check_control
from ttr_backbones.repairs.registry import register_repair
from ttr_backbones.repairs.repair import Repair
from ttr_backbones.repairs.sinder.directions import Direction, defect_directions
from ttr_backbones.vits.block_parts import LinearPart
from ttr_backbones.vits.family import family_of, naming_block
from ttr_backbones.vits.neurons import RegisterNeurons
from ttr_backbones.vits.replaced_parameters import replace_parameters

Layers = Literal["mlp", "both"]


def projected(weight: Tensor, direction: Tensor, scale: Tensor | None, strength: float) -> Tensor:
    """Take from a matrix what it writes along a direction, as it is after LayerScale.

    Args:
        weight: [C, inputs].
        direction: unit vector [C].
        scale: LayerScale [C]; None without. Channels that it multiplies by 0 write nothing; the
            direction is taken without them.
        strength: 1 takes all of it, 0 nothing.

    Returns:
        The new matrix; float64 within, in the type of `weight`.
    """
    scale = torch.ones_like(direction) if scale is None else scale
    scale, direction = scale.double().to(weight.device), direction.double().to(weight.device)
    writes = scale != 0
    unit = F.normalize(torch.where(writes, direction, 0), dim=0)
    along = (unit * scale) @ weight.double()  # what is written along it, of every input
    back = torch.where(writes, unit / scale, 0)
    return (weight.double() - strength * back[:, None] * along).to(weight)


class ProjectedWeights(ChangedWeights):
    """A ViT one block of which writes nothing along a direction."""


@register_repair
class Projection(Repair):
    """The MLP's second linear layer of the writing block, projected off the defect direction."""

    type = "projection"
    label = "projected weights (ours)"
    colour = "#f0e442"
    fit_options: ClassVar[Mapping[str, str]] = {
        "direction": "of defects: block, product, empirical; random is the control (block)",
        "block": "whose weights change; by default the first after which outliers appear",
        "layers": "mlp, its second linear layer; both, the projection of the attention too (mlp)",
        "strength": "share of what is written along the direction that is taken away (1)",
        "seed": "of direction=random (0)",
    }
    options: ClassVar[Mapping[str, str]] = {
        "strength": "in place of the fitted one",
        "control": "'random', a direction drawn once and for all in place of the fitted one",
    }
    controls: ClassVar[Mapping[str, str]] = {"random": "random direction"}
    swaps = (ProjectedWeights,)
    changes_weights = True

    def fit(
        self,
        vit: nn.Module,
        images: ImageBatches,
        *,
        direction: Direction = "block",
        block: int | None = None,
        layers: Layers = "mlp",
        strength: float = 1.0,
        seed: int = 0,
    ) -> Artifact:
        """Find the block and its direction.

        Raises:
            NoOutliersError: no block is given and the model has no outliers on these images.
            InputError: no such block or option, or a block that cannot be taken apart.
        """
        if block is None:
            images.require_reiterable("the direction after finding the block")
            block = find_onset(vit, images).first
        directions = defect_directions(vit, direction, images, seed=seed)
        if not 0 <= block < len(directions):
            raise InputError(f"no block {block}: the model has blocks 0..{len(directions) - 1}")
        facts = {"block": block, "layers": layers, "strength": strength}
        provenance = {"source": "closed form, of this package", **creation_record(vit, images)}
        provenance |= {"direction": direction, "seed": seed}
        artifact = Artifact(self.type, "", {"direction": directions[block]}, facts, provenance)
        self.check(artifact)
        return artifact

    def apply(
        self,
        vit: nn.Module,
        artifact: Artifact,
        *,
        strength: float | None = None,
        control: Literal["random"] | None = None,
        **options: Any,
    ) -> None:
        """Replace the weights.

        Raises:
            InputError: no such control.
        """
        del options
        facts = {**artifact.facts, **({} if strength is None else {"strength": strength})}
        _check(facts)
        family, index = family_of(vit), facts["block"]
        with naming_block(index):
            parts = family.parts(family.blocks(vit)[index])
        changed: list[tuple[LinearPart, Tensor | None]] = [(parts.second_linear, parts.scale2)]
        if facts["layers"] == "both":
            changed.append((parts.proj, parts.scale1))
        names = {module: name for name, module in vit.named_modules()}
        direction = artifact.tensors["direction"]
        if control is not None:
            check_control(self.type, control)
            drawn = torch.randn(len(direction), generator=torch.Generator().manual_seed(0))
            direction = F.normalize(drawn, dim=0)
        values = {
            f"{names[part.module]}.weight": projected(
                part.weight, direction, scale, facts["strength"]
            )
            for part, scale in changed
        }
        replace_parameters(vit, values)
        about = {**facts, "sha256": artifact.sha256}
        about |= {} if control is None else {"control": control}
        describe_changes(vit, ProjectedWeights, about)

    def describe(self, vit: Any) -> dict[str, Any]:
        """The block, the layers, how much, and the hash of the direction."""
        return dict(vit.description)

    def check(self, artifact: Artifact) -> None:
        """A direction, and what is done with it."""
        direction = artifact.tensors.get("direction")
        if artifact.tensors.keys() != {"direction"} or direction is None or direction.ndim != 1:
            raise InputError("an artifact of type='projection' has one tensor, `direction` [C]")
        _check(artifact.facts)

    def example(self, vit: nn.Module, images: ImageBatches, neurons: RegisterNeurons) -> Artifact:
        """Take the last block, whether or not it writes outliers."""
        del neurons
        last = len(family_of(vit).blocks(vit)) - 1
        return self.fit(vit, images, direction="random", block=last)


def _check(facts: Mapping[str, Any]) -> None:
    if facts.keys() != {"block", "layers", "strength"}:
        raise InputError(
            "an artifact of type='projection' has block, layers and strength, this one has "
            f"{', '.join(sorted(facts)) or 'none'}"
        )
    if facts["layers"] not in get_args(Layers):
        raise InputError(unknown_name("layers", str(facts["layers"]), get_args(Layers)))
    strength = facts["strength"]
    if not isinstance(strength, int | float) or not 0 < strength <= 1:
        raise InputError(f"strength={strength!r}: expected a share above 0 and up to 1")
