"""From inspections of one model with several kinds of registers to numbers and one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.images.finite import NonFiniteError, check_finite
from ttr_backbones.neuron_search.onset import onset_of_norms
from ttr_backbones.neuron_search.search import NoOutliersError
from ttr_backbones.neuron_search.thresholds import NormHistogram
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.report.columns import NONE, column_caption
from ttr_backbones.report.inspection import Inspection

GONE = 0.01  # at most this share of the outliers is left where a register removes them
HELPS = 0.5
_BINS = 60


@dataclass(frozen=True)
class OutlierRule:
    """What counts as an outlier: a patch whose norm after `block` is above `threshold`.

    Args:
        block: 0-based block.
        threshold: None where no group of patches stands out after any block.
        source: where the two come from, for tables.
    """

    block: int
    threshold: float | None
    source: str

    def mask(self, norms: Tensor) -> Tensor:
        """Mark outliers among norms of any shape."""
        return norms > (math.inf if self.threshold is None else self.threshold)


def outlier_rule(
    inspections: Sequence[Inspection], neurons: RegisterNeurons | None = None
) -> OutlierRule:
    """Find the one rule for all kinds of registers.

    It is the one that `neurons` was found with if the list tells, else the gap rule on the model
    as it comes, at the block where outliers stand out most; without any, at the last block.
    """
    plain, known = inspections[0], neurons.provenance if neurons is not None else {}
    block, threshold = known.get("detect_block"), known.get("threshold")
    if isinstance(block, int) and isinstance(threshold, int | float) and math.isfinite(threshold):
        return OutlierRule(block % len(plain.norms), float(threshold), "the list of neurons")
    histograms = [NormHistogram() for _ in plain.norms]
    for histogram, norms in zip(histograms, plain.norms, strict=True):
        histogram.add(norms)
    try:
        onset = onset_of_norms(histograms)
    except NoOutliersError:
        return OutlierRule(
            len(plain.norms) - 1, None, "no group of patches stands out after any block"
        )
    return OutlierRule(onset.detect, onset.threshold, "the gap between the norms on these images")


def summarize(
    inspections: Sequence[Inspection],
    *,
    model: str,
    size: tuple[int, int],
    images: Sequence[str],
    neurons: RegisterNeurons | None = None,
) -> dict[str, Any]:
    """Put what the inspections of one model on the same images say into plain numbers.

    Args:
        inspections: one per kind of registers, the model as it comes first.
        model: its timm name.
        size: height and width of the images in pixels.
        images: their names.
        neurons: the register neurons that were moved, if any were.

    Returns:
        Plain data for JSON: `model`, `size`, `grid`, `images`, `neurons` {block: [units]}, `block`
        and `threshold` of an outlier with `threshold_source`, `verdict` (one sentence),
        `histogram_edges`, and `registers`: for each kind a dict with

        - `outlier_fraction` of the patches and `outlier_counts` [h][w] over images, at `block`;
        - per block: `outlier_fraction_per_block`, `largest_norm`, `median_norm` of the patches,
          `cls_norm` and `register_norm` (means; None without such tokens);
        - `histogram`: tokens of each kind per bin of `histogram_edges`, at `block`;
        - per image, at `block`: `outliers_per_image`, `largest_norm_per_image`;
        - for each block whose attention was recomputed: `attention_entropy` of the CLS attention
          over the patches, mean over heads and images, as a share of the uniform one's, and
          `attention_on_outliers`, the share of it on the patches that are outliers in the model as
          it comes;
        - `activations`: "block:unit" -> mean magnitude `at_outliers` (the same patches; None
          without any) and `elsewhere`.

    Raises:
        InputError: inspections of different images or of different models.
        NonFiniteError: norms, features, attention or activations that are NaN or infinite.
    """
    if len({inspection.norms.shape for inspection in inspections}) != 1:
        raise InputError(
            "expected one inspection or more, all of the same model and images, got norms of shape "
            f"{[tuple(inspection.norms.shape) for inspection in inspections]}"
        )
    for inspection in inspections:
        _check_finite(inspection, model, images)
    rule = outlier_rule(inspections, neurons)
    edges = _edges(inspections, rule.block)
    return {
        "model": model,
        "size": list(size),
        "grid": list(inspections[0].grid),
        "images": list(images),
        "neurons": None if neurons is None else {str(b): u for b, u in neurons.layers.items()},
        "block": rule.block,
        "threshold": rule.threshold,
        "threshold_source": rule.source,
        "verdict": verdict(inspections, rule),
        "histogram_edges": edges.tolist(),
        "registers": {
            shown.registers: _numbers(shown, inspections[0], rule, edges) for shown in inspections
        },
    }


def _check_finite(inspection: Inspection, model: str, images: Sequence[str]) -> None:
    """Raise NonFiniteError with the first block and image where something is not finite."""
    of_blocks = {
        "patch": inspection.norms,
        "CLS": inspection.cls_norms,
        "register": inspection.register_norms,
    }
    values = {
        f"{model}, {kind} norms after block {block}": norms[block].unsqueeze(-1)
        for block in range(len(inspection.norms))
        for kind, norms in of_blocks.items()
        if norms is not None
    }
    values |= {f"{model}, attention of block {b}": v for b, v in inspection.attention.items()}
    values |= {
        f"{model}, activations of neuron {b}:{u}": v for (b, u), v in inspection.activations.items()
    }
    values[f"{model}, final features"] = inspection.features
    try:
        check_finite(values)
    except NonFiniteError as error:
        if error.image is None or error.image >= len(images):
            raise
        name = images[error.image]
        raise NonFiniteError(error.what, error.count, error.total, error.image, name) from None


def verdict(inspections: Sequence[Inspection], rule: OutlierRule) -> str:
    """Say in one sentence how many outliers there are, and what the registers do about them."""
    plain, *others = inspections
    before, largest = _share_and_largest(plain, rule)
    if not before:
        return _without_outliers(plain, others, rule)
    text = (
        f"{percent(before)} of the patches are outliers (norm above {_norm(rule.threshold)} after "
        f"block {rule.block}, largest {_norm(largest)})"
    )
    if plain.registers != NONE:
        text += f" {_named(plain)}"
    for other in others:
        after, largest = _share_and_largest(other, rule)
        still = "still " if after > HELPS * before else ""
        text += f"; {_named(other)} {still}{percent(after)} (largest {_norm(largest)})"
        if after > HELPS * before:
            text += ": these neurons do not remove them"
        elif after > GONE * before:
            text += ": these neurons remove only a part of them"
    return text + "."


def _without_outliers(plain: Inspection, others: Sequence[Inspection], rule: OutlierRule) -> str:
    norms = plain.norms[rule.block]
    largest, median = _norm(norms.max().item()), _norm(norms.median().item())
    limit = "" if rule.threshold is None else f" (norm above {_norm(rule.threshold)})"
    text = (
        f"No patch is an outlier{limit} {_named(plain)}: after block {rule.block} the largest norm "
        f"is {largest}, the median {median}"
    )
    for other in others:
        after, largest_after = _share_and_largest(other, rule)
        text += f"; {_named(other)} the largest is {_norm(largest_after)}"
        if after:
            text += f", and {percent(after)} of the patches become outliers"
    return text + "."


def percent(share: float) -> str:
    """One decimal; two digits below 0.1 %, so that it is "0 %" only where it is exact."""
    value = 100 * share
    return f"{value:.1f} %" if value >= 0.1 else f"{value:.2g} %"


def _norm(value: float | None) -> str:
    """A norm without decimals, or with two digits where it is small."""
    if value is None:
        return "none"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _named(inspection: Inspection) -> str:
    return column_caption(inspection.registers, inspection.num_registers)


def _share_and_largest(inspection: Inspection, rule: OutlierRule) -> tuple[float, float]:
    norms = inspection.norms[rule.block]
    return rule.mask(norms).float().mean().item(), norms.max().item()


def _numbers(
    inspection: Inspection, plain: Inspection, rule: OutlierRule, edges: Tensor
) -> dict[str, Any]:
    norms, before = inspection.norms, rule.mask(plain.norms[rule.block])
    here, outliers = norms[rule.block], rule.mask(norms)
    kinds = {"patch": norms, "cls": inspection.cls_norms, "register": inspection.register_norms}
    attention = inspection.attention
    return {
        "outlier_fraction": outliers[rule.block].float().mean().item(),
        "outlier_fraction_per_block": outliers.float().mean(dim=(1, 2, 3)).tolist(),
        "largest_norm": norms.amax(dim=(1, 2, 3)).tolist(),
        "median_norm": norms.flatten(1).median(dim=1).values.tolist(),
        "cls_norm": _means(inspection.cls_norms),
        "register_norm": _means(inspection.register_norms),
        "outlier_counts": outliers[rule.block].sum(dim=0).tolist(),
        "outliers_per_image": outliers[rule.block].sum(dim=(1, 2)).tolist(),
        "largest_norm_per_image": here.amax(dim=(1, 2)).tolist(),
        "histogram": {
            kind: [] if values is None else _histogram(values[rule.block], edges)
            for kind, values in kinds.items()
        },
        "attention_entropy": {str(b): _entropy(weights) for b, weights in attention.items()},
        "attention_on_outliers": {
            str(b): _share_on(weights, before) for b, weights in attention.items()
        },
        "activations": {
            f"{block}:{unit}": {"at_outliers": _mean(v[before]), "elsewhere": _mean(v[~before])}
            for (block, unit), v in inspection.activations.items()
        },
    }


def _means(norms: Tensor | None) -> list[float] | None:
    return None if norms is None else norms.flatten(1).mean(dim=1).tolist()


def _mean(values: Tensor) -> float | None:
    return values.abs().mean().item() if len(values) else None


def _edges(inspections: Sequence[Inspection], block: int) -> Tensor:
    """Common logarithmic bins for the norms of all tokens after `block`."""
    found = [
        norms[block].flatten()
        for inspection in inspections
        for norms in (inspection.norms, inspection.cls_norms, inspection.register_norms)
        if norms is not None
    ]
    norms = torch.cat(found).clamp_min(1e-6)
    low, high = math.log10(norms.min().item()), math.log10(norms.max().item())
    return torch.logspace(low - 0.01, high + 0.01, _BINS + 1, dtype=torch.float64)


def _histogram(norms: Tensor, edges: Tensor) -> list[int]:
    counts, _ = np.histogram(norms.clamp_min(1e-6).double().numpy(), edges.numpy())
    return [int(count) for count in counts]


def _entropy(weights: Tensor) -> float:
    """Entropy of attention [B, H, h, w] over the patches; 1 for uniform, 0 for one patch."""
    share = weights.flatten(2) / weights.sum(dim=(2, 3)).unsqueeze(2)
    entropy = torch.special.entr(share).sum(dim=2).mean().item()
    return entropy / math.log(share.shape[2]) if share.shape[2] > 1 else 0.0


def _share_on(weights: Tensor, outliers: Tensor) -> float:
    """Share of the attention to patches, [B, H, h, w], that outliers [B, h, w] get."""
    on = (weights * outliers.unsqueeze(1)).sum(dim=(2, 3)) / weights.sum(dim=(2, 3))
    return on.mean().item()
