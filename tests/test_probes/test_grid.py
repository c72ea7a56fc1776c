"""A grid on the command line becomes every combination, each with a name of its own."""

import pytest

from ttr_backbones.probes.grid import Probe, parse_grid


def test_grid_is_every_combination_the_last_axis_fastest():
    probes = parse_grid(["lr=1e-3,5e-2", "block=-1,2+5+8+11", "norm=on,off"])
    assert len(probes) == 8
    assert probes[0] == Probe(1e-3, (-1,), True, name="lr1e-3_block-1_normon")
    assert probes[3] == Probe(1e-3, (2, 5, 8, 11), False, name="lr1e-3_block2+5+8+11_normoff")
    assert len({probe.name for probe in probes}) == 8


def test_one_axis_leaves_the_rest_to_the_config():
    assert parse_grid(["seed=0, 7"]) == [
        Probe(seed=0, name="seed0"),
        Probe(seed=7, name="seed7"),
    ]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (["lrs=1e-3"], "unknown axis 'lrs'. Did you mean 'lr'"),
        (["lr"], "lr=: expected learning rates above 0, as 1e-3"),
        (["lr=1e-3,"], "expected learning rates above 0"),
        (["lr=-1"], "expected learning rates above 0"),
        (["lr=nan"], "expected learning rates above 0"),
        (["lr=1e-3,0.001"], "a value stands there twice"),
        (["block=last"], r"expected blocks, as -1 or 2\+5\+8\+11"),
        (["norm=true"], "expected on or off"),
        (["seed=-1"], "expected whole numbers from 0 on"),
        (["lr=1", "lr=2"], "names the axis lr twice"),
    ],
)
def test_bad_grids_are_explained(axes, message):
    with pytest.raises(ValueError, match=message):
        parse_grid(axes)
