import copy

import pytest
import torch

from ttr_backbones.backbones.description import description
from ttr_backbones.backbones.timm_vit import TimmViT
from ttr_backbones.errors import InputError
from ttr_backbones.registers import (
    add_test_time_registers,
    patches_in_boxes,
    patches_receive,
    remove_test_time_registers,
)
from ttr_backbones.vits.edit import FILLS, PEAKS, move_activations, move_to_patches

LAYERS = {1: [3, 7], 2: [0]}


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("peak", PEAKS)
def test_each_image__is_edited_as_with_positions_of_the_model(peak, fill):
    """Bit for bit, and an image without patches keeps what it has."""
    hidden = torch.randn(3, 6, 4)
    units, gain = torch.tensor([2, 0]), torch.full((1, 2), 0.5)
    receivers = torch.zeros(3, 6, dtype=torch.bool)
    receivers[0, [3, 5]] = receivers[2, 4] = True
    options = {"first_patch": 2, "peak": peak, "fill": fill, "keep_cls": 1}
    edited = move_to_patches(hidden, units, receivers, gain, **options)
    for image, rows in ((0, [3, 5]), (2, [4])):
        of_rows = gain.expand(len(rows), -1)
        single = move_activations(
            hidden[image : image + 1], units, torch.tensor(rows), of_rows, **options
        )
        assert torch.equal(edited[image : image + 1], single)
    assert torch.equal(edited[1], hidden[1])


@torch.no_grad()
def test_a_batch__equals_its_images_alone_and_models_with_fixed_positions(make_vit):
    vit, images = make_vit(), torch.randn(3, 3, 64, 64)
    plain = vit(images)
    fixed = [copy.deepcopy(vit), copy.deepcopy(vit)]
    for model, positions in zip(fixed, ([0, 5], [9]), strict=True):
        add_test_time_registers(model, LAYERS, positions=positions)
    add_test_time_registers(vit, LAYERS, positions="per_image")
    mask = torch.zeros(3, 4, 4, dtype=torch.bool)
    mask[0, 0, 0] = mask[0, 1, 1] = mask[1, 2, 1] = True

    with patches_receive(vit, mask):
        batch = vit(images)
    expected = [fixed[0](images[:1]), fixed[1](images[1:2]), plain[2:]]
    torch.testing.assert_close(batch, torch.cat(expected), rtol=1e-5, atol=1e-6)
    with patches_receive(copy.deepcopy(vit), mask), pytest.raises(InputError, match="are named"):
        vit(images)
    remove_test_time_registers(vit)
    assert torch.equal(vit(images), plain)


def test_masks__that_do_not_fit_are_refused(make_vit):
    vit, images = make_vit(), torch.randn(2, 3, 64, 64)
    mask = torch.ones(2, 4, 4, dtype=torch.bool)
    message = r"positions='per_image'\) only"
    with pytest.raises(InputError, match=message), patches_receive(vit, mask):
        pass
    with pytest.raises(InputError, match="one scale for all, and without share"):
        add_test_time_registers(vit, LAYERS, positions="per_image", scale=[1.0])
    add_test_time_registers(vit, LAYERS, positions="per_image")
    with pytest.raises(InputError, match="no patches are named"):
        vit(images)
    message = r"16 patches of 2 images.*16 patches of 1"
    with pytest.raises(InputError, match=message), patches_receive(vit, mask):
        vit(images[:1])
    with pytest.raises(InputError, match="a mask bool"), patches_receive(vit, mask.int()):
        pass


def test_boxes__name_the_patches_that_they_touch():
    boxes = [torch.tensor([[0, 0, 17, 16], [40, 60, 48, 64]]), torch.empty(0, 4)]
    masks = patches_in_boxes(boxes, (64, 48), (16, 16))
    assert masks.shape == (2, 4, 3)
    assert masks[0].nonzero().tolist() == [[0, 0], [0, 1], [3, 2]]
    assert not masks[1].any()
    assert not patches_in_boxes([torch.tensor([[5, 5, 5, 9]])], (64, 48), (16, 16)).any()
    with pytest.raises(InputError, match="no multiple of the patch"):
        patches_in_boxes(boxes, (65, 48), (16, 16))


def test_description_of_a_backbone__tells_positions_apart():
    """Else a feature cache would take the maps of other positions."""
    described = []
    for positions in ([2], [3], "per_image", None):
        repair = {"type": "test_time", "neurons": {1: [3]}, "positions": positions}
        backbone = TimmViT(
            "vit_tiny_patch16_224", model_kwargs={"depth": 2, "img_size": 32}, repair=repair
        )
        described.append(description(backbone)["repair"])
    assert all(a != b for i, a in enumerate(described) for b in described[:i])
