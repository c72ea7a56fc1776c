"""The edit, against numbers worked out by hand and against the published formulas."""

from __future__ import annotations

import pytest
import torch

from ttr_backbones.vits.edit import FILLS, PEAKS, move_activations

# One image, tokens (CLS, register, patch, patch, patch), two units; unit 1 is never edited.
HIDDEN = torch.tensor([[[1.0, 10], [0, 20], [4, 30], [-6, 40], [2, 50]]])
OPTIONS = {"first_patch": 2}


def edit(hidden=HIDDEN, units=(0,), rows=(1,), gain=None, **options):
    gain = torch.ones(len(rows), len(units)) if gain is None else torch.tensor(gain)
    return move_activations(
        hidden,
        torch.tensor(units),
        torch.tensor(rows, dtype=torch.int64),
        gain,
        **(OPTIONS | options),
    )


@pytest.mark.parametrize(
    ("options", "unit_0"),
    [
        ({}, [0, -6, 0, 0, 0]),
        ({"keep_cls": True}, [1, -6, 0, 0, 0]),
        ({"keep_cls": 3}, [1, -6, 4, 0, 0]),
        ({"fill": "mean"}, [0, -6, 0, 0, 0]),  # the patches 4, -6, 2 have mean 0
        ({"fill": "same"}, [1, -6, 4, -6, 2]),
        # std of 4, -6, 2 is sqrt(28) = 5.3: none is above 0 + 5.3, all stay
        ({"fill": "only_outliers"}, [1, -6, 4, -6, 2]),
        ({"gain": [[0.5]]}, [0, -3, 0, 0, 0]),
        ({"rows": ()}, [0, 0, 0, 0, 0]),
        ({"rows": (2, 4)}, [0, 0, -6, 0, -6]),
        ({"rows": (1, 3), "gain": [[1.0], [2.0]]}, [0, -6, 0, -12, 0]),
    ],
)
def test_one_unit_by_hand(options, unit_0):
    edited = edit(**options)
    assert edited[0, :, 0].tolist() == unit_0
    assert torch.equal(edited[..., 1], HIDDEN[..., 1])


def test_fill_mean_and_only_outliers_replace_what_is_far_above():
    hidden = torch.tensor([[[9.0], [0], [1], [1], [1], [1], [21]]])
    mean = 5.0  # of 1, 1, 1, 1, 21; std 8.9, so 21 > 13.9 is an outlier
    assert edit(hidden, fill="mean")[0, :, 0].tolist() == [mean, 21, *[mean] * 5]
    assert edit(hidden, fill="only_outliers")[0, :, 0].tolist() == [9, 21, 1, 1, 1, 1, mean]


def test_peak_layer_takes_one_value_for_all_neurons():
    edited = edit(units=(0, 1), peak="layer")
    assert edited[0, 1].tolist() == [50, 50]
    assert edit(units=(0, 1))[0, 1].tolist() == [-6, 50]


def test_input_is_not_written_to():
    before = HIDDEN.clone()
    edit(fill="same", rows=(1, 2))
    assert torch.equal(before, HIDDEN)


@pytest.mark.parametrize("peak", PEAKS)
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("keep_cls", [False, True])
def test_batch_equals_its_single_images_exactly(peak, fill, keep_cls):
    hidden = torch.randn(3, 12, 8, generator=torch.Generator().manual_seed(0))
    options = {"units": (1, 5, 6), "rows": (1, 2), "first_patch": 3}
    options |= {"peak": peak, "fill": fill, "keep_cls": keep_cls}
    batch = edit(hidden, **options)
    singles = torch.cat([edit(one[None], **options) for one in hidden])
    assert torch.equal(batch, singles)


@pytest.mark.parametrize("fill", FILLS)
def test_equals_the_hub_formula_for_one_image(fill):
    """The authors' hub code: one signed scalar per block; CLS kept; the register last."""
    units, generator = [0, 3, 4], torch.Generator().manual_seed(1)
    hidden = torch.randn(1, 10, 6, generator=generator)
    # Theirs: CLS, patches, register. Ours: CLS, register, patches.
    theirs = torch.cat([hidden[:, :1], hidden[:, 2:], hidden[:, 1:2]], dim=1).clone()
    chosen = theirs[0, :, units]
    scalar = chosen.max() if chosen.max().abs() > chosen.min().abs() else chosen.min()
    patches = theirs[0, 1:-1, units].clone()
    std, mean = patches.std(dim=0), patches.mean(dim=0)
    left = {
        "zero": torch.zeros_like(patches),
        "mean": mean.expand_as(patches),
        "only_outliers": torch.where(patches > mean + std, mean, patches),
        "same": patches,
    }[fill]
    for column, unit in enumerate(units):
        theirs[0, 1:-1, unit] = left[:, column]
        theirs[0, -1, unit] = scalar
    ours = edit(hidden, units=tuple(units), peak="layer", keep_cls=True, fill=fill)
    reordered = torch.cat([ours[:, :1], ours[:, 2:], ours[:, 1:2]], dim=1)
    torch.testing.assert_close(reordered, theirs, rtol=0, atol=1e-6)


def test_gradient_flows_to_the_value_that_moved():
    hidden = HIDDEN.clone().requires_grad_()
    edit(hidden)[0, 1, 0].backward()
    assert hidden.grad[0, :, 0].tolist() == [0, 0, 0, 1, 0]
