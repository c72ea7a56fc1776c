"""Comparing a file with its model: exact where they agree, an error where they do not."""

import pytest
import torch

from ttr_backbones.export.check import TOLERANCE, MismatchError, compare

SHAPES = [(2, 3, 8, 12), (1, 3, 16, 4)]


def model(image):
    return {"logits": image[:, :2] / 100 - 1}


def changed(change):
    def run(image):
        return {name: change(output.clone()) for name, output in model(image).items()}

    return run


def test_compare__the_same(capsys):
    differences = compare(model, model, SHAPES)
    assert [difference.shape for difference in differences] == SHAPES
    assert all((d.absolute, d.relative, d.equal_classes) == (0, 0, 1) for d in differences)
    assert str(differences[0]) == (
        "2 x 8 x 12: largest difference 0 (0.0e+00 of the largest value), 100 % of the pixels have "
        "the same class"
    )


def test_compare__counts_the_largest_difference_and_the_classes():
    def with_first_pixel(*values):
        def run(image):
            outputs = model(image)["logits"].clone()
            outputs[0, :, 0, 0] = torch.tensor(values)
            return {"logits": outputs, "largest": torch.tensor([[3.0]])}

        return run

    run, eager = with_first_pixel(0.25, 0.25005), with_first_pixel(0.2501, 0.25)
    [difference] = compare(run, eager, [(1, 3, 4, 5)])
    assert difference.absolute == pytest.approx(1e-4, rel=0.01)
    image = torch.randint(0, 256, (1, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    largest = eager(image)["logits"].abs().max().item()
    assert difference.relative == pytest.approx(1e-4 / largest, rel=0.01)
    assert difference.equal_classes == pytest.approx(19 / 20)


def test_compare__maps_have_no_classes():
    def maps(image):
        return {"map_0": image, "map_1": image[:, :1]}

    assert compare(maps, maps, SHAPES)[0].equal_classes is None


@pytest.mark.parametrize(
    "change", [lambda y: y + 2 * TOLERANCE * y.abs().max(), lambda y: y * torch.nan]
)
def test_compare__beyond_the_tolerance(change):
    with pytest.raises(MismatchError, match=r"differs from the model\. 2 x 8 x 12"):
        compare(changed(change), model, SHAPES)


def test_compare__of_another_shape():
    with pytest.raises(MismatchError, match=r"expected logits of \(2, 2, 8, 12\)"):
        compare(changed(lambda y: y[..., :-1]), model, SHAPES)


def test_compare__failing():
    def failing(image):
        if image.shape[2] == 16:
            raise RuntimeError("axis 2\nmore")
        return model(image)

    with pytest.raises(MismatchError, match=r"fails on images of \(1, 3, 16, 4\): axis 2$"):
        compare(failing, model, SHAPES)
