"""`ttrb bench search`: the neuron search, beside plain forwards and the usual way to write it.

Images are in memory and normalised before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.bench.cost import cost_of
from ttr_backbones.bench.rounds import Log, measure, silent
from ttr_backbones.bench.row import BenchRow, Contestant, Measured, patch_tokens
from ttr_backbones.neuron_search.outliers import token_norms
from ttr_backbones.neuron_search.scan import SPARSE_BELOW, SPARSE_SHARE, neurons
from ttr_backbones.neuron_search.search import find_register_neurons
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.reader import Site, reading
from ttr_backbones.vits.register_tokens import split_tokens

PLAIN, ONE_PASS, TWO_PASSES = "plain forward passes", "search, one pass", "search, two passes"
USUAL = "usual: one image at a time, on CPU"
GOALS = {ONE_PASS: 1.3, TWO_PASSES: 2.0}  # plain forwards per image
OUTLIER_SHARE = 0.02  # of the patches, as in real models
TOP_K = 10


def bench_search(
    vit: nn.Module,
    images: Tensor,
    *,
    batch_sizes: Sequence[int] = (8,),
    rounds: int = 5,
    log: Log = silent,
) -> Measured:
    """Time the search on normalised images [M, 3, H, W] on the device of `vit`.

    The threshold is the norm that 2 % of the patches exceed, so that random weights will do: the
    work does not depend on their values.

    Args:
        vit: a ViT without test-time registers.
        images: in memory.
        batch_sizes: images at a time; the usual way takes one whatever it is.
        rounds: medians are over these.
        log: called with lines of progress.

    Raises:
        InputError: no round to run.
    """
    tokens = patch_tokens(len(images), images.shape[2:], family_of(vit).facts(vit).patch_size)
    rows: list[BenchRow] = []
    same: dict[int, bool] = {}
    for batch_size in batch_sizes:
        searches = _searches(vit, images, batch_size)
        tops = [run() for run in searches.values()]
        same[batch_size] = all(set(top) == set(tops[0]) for top in tops)
        plain = partial(plain_forwards, vit, images, batch_size)
        runs: dict[str, Callable[[], object]] = {PLAIN: plain, **searches}
        contestants = [
            Contestant(
                name,
                run,
                images=len(images),
                batch_size=batch_size,
                against=PLAIN,
                goal=GOALS.get(name),
                tokens=tokens,
                cost=partial(cost_of, run, [*vit.parameters(), images], images.device),
            )
            for name, run in runs.items()
        ]
        rows += measure("search", contestants, images.device, rounds=rounds, log=log)
    notes = [_agreement(rows, size, same=found) for size, found in same.items()]
    setting = {"images": len(images), "size": images.shape[2], "rounds": rounds}
    return Measured("search", setting, rows, notes, {"same_neurons": all(same.values())})


def _searches(
    vit: nn.Module, images: Tensor, batch_size: int
) -> dict[str, Callable[[], list[tuple[int, int]]]]:
    """The three ways to search; each gives the best (block, unit) pairs."""
    threshold = _threshold(vit, images, batch_size)

    def search(memory_budget: int) -> list[tuple[int, int]]:
        found = find_register_neurons(
            vit,
            images,
            threshold=threshold,
            top_k=TOP_K,
            batch_size=batch_size,
            memory_budget=memory_budget,
        )
        return [(block, unit) for block, unit, _ in found.ranking[:TOP_K]]

    return {
        ONE_PASS: lambda: search(2**62),
        TWO_PASSES: lambda: search(0),
        USUAL: lambda: usual_search(vit, images, threshold)[:TOP_K],
    }


def _agreement(rows: Sequence[BenchRow], batch_size: int, *, same: bool) -> str:
    speed: dict[str, Any] = {
        row.contestant: row.images_per_second for row in rows if row.batch_size == batch_size
    }
    return (
        f"search: batches of {batch_size} are {speed[ONE_PASS] / speed[USUAL]:.2f} (one pass) and "
        f"{speed[TWO_PASSES] / speed[USUAL]:.2f} (two) times as fast as the usual way; all find "
        f"{'the same' if same else 'NOT the same'} {TOP_K} neurons"
    )


@torch.no_grad()
def plain_forwards(vit: nn.Module, images: Tensor, batch_size: int) -> None:
    """Only run the model."""
    for batch in images.split(batch_size):
        family_of(vit).final_tokens(vit, batch)


@torch.no_grad()
def usual_search(vit: nn.Module, images: Tensor, threshold: float) -> list[tuple[int, int]]:
    """Search as such code is usually written: record all, copy it to the CPU, then look.

    Returns:
        (block, unit), best first.
    """
    family = family_of(vit)
    blocks, first_patch = range(len(family.blocks(vit))), family.num_prefix(vit)
    total, counted = torch.zeros(0), 0
    for image in images.split(1):
        hidden: dict[int, Tensor] = {}
        outputs: list[Tensor] = []

        def keep(block: int, values: Tensor, kept: dict[int, Tensor] = hidden) -> None:
            kept[block] = values.cpu()

        def keep_output(tokens: Tensor, kept: list[Tensor] = outputs) -> None:
            kept.append(tokens.cpu())

        with reading(vit, {**neurons(blocks, keep), Site(blocks[-1], "output"): keep_output}):
            family.final_tokens(vit, image)
        outlier = token_norms(outputs[0][0]) > threshold  # [N]
        outlier[:first_patch] = False
        if not outlier.any():
            continue
        activations = torch.stack([hidden[block][0] for block in blocks])  # [L, N, D]
        scores = activations[:, outlier].abs().mean(dim=1)
        sparse = (activations < SPARSE_BELOW).float().mean(dim=1) >= SPARSE_SHARE
        total = scores * sparse + (total if counted else 0)
        counted += 1
    width = total.shape[1]
    return [divmod(flat, width) for flat in total.flatten().argsort(descending=True).tolist()]


@torch.no_grad()
def _threshold(vit: nn.Module, images: Tensor, batch_size: int) -> float:
    norms: list[Tensor] = []

    def note(tokens: Tensor) -> None:
        norms.append(token_norms(split_tokens(vit, tokens).patches))

    with reading(vit, {Site(len(family_of(vit).blocks(vit)) - 1, "output"): note}):
        plain_forwards(vit, images, batch_size)
    flat = torch.cat(norms).flatten()
    return flat.kthvalue(int((1 - OUTLIER_SHARE) * len(flat))).values.item()
