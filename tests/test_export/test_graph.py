"""The graph's model equals the model, shares its weights, and has no decision left in Python."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from ttr_backbones.errors import InputError
from ttr_backbones.export.graph import ModelGraph

SIZES = [(64, 96), (80, 64), (50, 131), (33, 40)]


def assert_equal(outputs, expected):
    assert outputs.keys() == expected.keys()
    for name, output in outputs.items():
        largest = expected[name].abs().max().item()
        torch.testing.assert_close(output, expected[name], rtol=0, atol=5e-5 * largest)


@pytest.mark.parametrize("pos_embed", ["timm", "dinov2"])
@pytest.mark.parametrize("head", ["linear", "ms", "lin1", "lin4", "dpt", None])
def test_any_size__equals_the_model(make_exportable, random_images, head, pos_embed):
    options = {"pos_embed": pos_embed, "pad": "corner" if head is None else "center"}
    if head != "linear" and head is not None:
        options["crop"] = True
    exportable = make_exportable(head, **options)
    graph = ModelGraph(exportable, None)
    for batch, size in enumerate(SIZES, start=1):
        images = random_images(batch, *size)
        expected = exportable.eager(images)
        assert list(expected) == exportable.outputs
        assert_equal(graph(images), expected)


@pytest.mark.parametrize("pos_embed", ["timm", "dinov2"])
def test_one_size__has_the_positions_as_a_constant(make_exportable, random_images, pos_embed):
    exportable = make_exportable("ms", pos_embed=pos_embed)
    graph = ModelGraph(exportable, (50, 131))
    assert dict(graph.named_buffers())["model.backbone.table"].shape == (1, 1 + 4 * 9, 32)
    images = random_images(2, 50, 131)
    expected = exportable.eager(images)
    with torch.no_grad():
        dict(exportable.backbone.vit.named_parameters())["pos_embed"].zero_()
    assert torch.equal(graph(images)["logits"], expected["logits"])
    assert not torch.allclose(exportable.eager(images)["logits"], expected["logits"], atol=0.1)


def test_padding_of_the_data_preprocessor__comes_off_again(make_exportable, random_images):
    exportable = make_exportable("linear", {"test_cfg": {"size_divisor": 48}})
    images = random_images(2, 50, 97)
    expected = exportable.eager(images)
    assert expected["logits"].shape == (2, 7, 50, 97)
    for size in (None, (50, 97)):
        assert_equal(ModelGraph(exportable, size)(images), expected)


def test_facets_and_channels_in_the_order_of_the_model(make_exportable, random_images):
    order = {
        "type": "EachSizePreProcessor",
        "mean": [1, 2, 3],
        "std": [4, 5, 6],
        "bgr_to_rgb": False,
    }
    exportable = make_exportable(None, order, pad="corner", facet="key")
    images = random_images(2, 48, 64)
    assert_equal(ModelGraph(exportable, None)(images), exportable.eager(images))


def test_model__is_left_as_it_is_and_its_weights_are_shared(make_exportable, random_images):
    exportable = make_exportable("dpt")
    images = random_images(1, 64, 96)
    expected = exportable.eager(images)["depth"]
    kinds = [type(module) for module in exportable.model.modules()]
    graph = ModelGraph(exportable, None)
    assert [type(module) for module in exportable.model.modules()] == kinds
    assert torch.equal(exportable.eager(images)["depth"], expected)
    weights = {parameter.data_ptr() for parameter in exportable.backbone.parameters()}
    assert weights <= {parameter.data_ptr() for parameter in graph.parameters()}


@pytest.mark.exports
@pytest.mark.nightly
def test_compile__takes_it_whole_and_once_for_all_sizes(make_exportable, random_images):
    """No graph break (fullgraph) and, once sizes are free, no other graph for another size."""
    graph = ModelGraph(make_exportable("linear", pos_embed="dinov2", crop=True), None)
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(graph, backend=counter, fullgraph=True, dynamic=True)
    for batch, size in enumerate(SIZES, start=2):
        images = random_images(batch, *size)
        assert_equal(compiled(images), graph(images))
    assert counter.frame_count == 1


def test_one_size__that_cannot_be_padded(make_exportable):
    with pytest.raises(InputError, match="50 x 131 pixels is no multiple of the 16 x 16 patch"):
        ModelGraph(make_exportable("linear", pad=None), (50, 131))
