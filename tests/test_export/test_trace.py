"""Tracing: whole, without a look at values, or refused in words."""

import pytest
import torch
from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.export.trace import trace
from ttr_backbones.repairs import apply_repair, fit_repair

# What torch writes where a value decides: .item(), nonzero, masked_select and their kin.
VALUE_DEPENDENT = ("aten.item", "local_scalar", "nonzero", "masked_select", "unique", "cond")


@pytest.fixture(scope="module")
def exportable(make_exportable):
    return make_exportable("linear")


def operators(program):
    return {str(node.target) for node in program.graph.nodes if node.op == "call_function"}


@pytest.mark.exports
@pytest.mark.parametrize(
    ("head", "options"),
    [
        ("linear", {"peak": "neuron"}),
        pytest.param(
            "dpt",
            {"peak": "layer", "fill": "only_outliers", "keep_cls": True},
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_trace__no_value_decides(make_exportable, head, options):
    neurons = {0: [3, 70], 1: [7]}
    repair = {"type": "test_time", "neurons": neurons, "num": 2} | options
    program = trace(make_exportable(head, repair=repair), size=(32, 48), batch=1)
    found = operators(program)
    assert any("argmax" in name for name in found), "the registers are inside"
    assert not [name for name in found if any(word in name for word in VALUE_DEPENDENT)]
    assert not any("upsample_bicubic" in name for name in found), "positions are a constant"


@pytest.mark.exports
@pytest.mark.nightly
def test_trace__free_and_fixed_sides(exportable):
    program = trace(exportable, size=None, batch=2)
    shape = next(n for n in program.graph.nodes if n.name == "image").meta["val"].shape
    assert [isinstance(side, int) for side in shape] == [True, True, False, False]
    assert shape[0] == 2


@pytest.mark.exports
@pytest.mark.nightly
@pytest.mark.parametrize("by", ["norm", "lof"])
def test_trace__neighbours_at_any_height_and_width(make_exportable, by):
    """One graph, that reads the grid off the image: neither the traced one nor the model's."""
    exportable = make_exportable("linear", repair=None)
    vit, images = exportable.backbone.vit, torch.rand(2, 3, 64, 96) * 255
    (tokens,) = vit.get_intermediate_layers((images - 115) / 55, [0])
    threshold = tokens.norm(dim=2).quantile(0.8).item()
    way = {"norm": {"threshold": threshold}, "lof": {"neighbours": 5, "share": 0.2}}[by]
    plain = exportable.eager(images)["logits"]
    apply_repair(vit, fit_repair("neighbours", vit, images, by=by, block=0, **way))
    assert not torch.allclose(exportable.eager(images)["logits"], plain, atol=1e-3)
    program = trace(exportable, size=None)
    for size in ((64, 96), (50, 131), (33, 40)):
        images = torch.rand(2, 3, *size) * 255
        found = program.module()(images)["logits"]
        torch.testing.assert_close(found, exportable.eager(images)["logits"], rtol=1e-4, atol=1e-5)


def test_trace__any_size_without_padding(make_exportable):
    with pytest.raises(InputError, match="would lose its last pixels without a word"):
        trace(make_exportable("linear", pad=None), size=None)


def test_trace__a_head_that_looks_at_values(make_exportable):
    class Looking(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def predict(self, maps, *args):
            return self.inner.predict(maps, *args) * (1 if maps[0].sum() > 0 else 2)

    exportable = make_exportable("linear")
    exportable.model.decode_head = Looking(exportable.model.decode_head)
    with pytest.raises(InputError, match=r"torch\.export cannot trace EncoderDecoder whole: "):
        trace(exportable, size=(32, 48))
