"""What is read, at which site, and that nothing stays behind."""

import pytest
import torch
from timm.models.vision_transformer import ParallelScalingBlock

from ttr_backbones.errors import InputError
from ttr_backbones.registers import add_test_time_registers, split_tokens
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.reader import Site, reading


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def hooks_of(vit):
    return [
        module for module in vit.modules() if module._forward_hooks or module._forward_pre_hooks
    ]


@torch.no_grad()
def test_reading__gives_every_site_of_a_block(make_vit, images):
    vit, seen = make_vit(), {}
    places = ("input", "attention", "mlp", "hidden", "output")
    sites = {Site(1, place): lambda each, p=place: seen.update({p: each}) for place in places}
    with reading(vit, sites | {Site(None): lambda each: seen.update(patches=each)}):
        vit.forward_features(images)
    block = vit.blocks[1]
    assert torch.equal(seen["patches"], vit.patch_embed(images))
    assert torch.equal(seen["attention"], block.norm1(seen["input"]))
    behind = seen["input"] + block.ls1(block.attn(seen["attention"]))
    assert torch.equal(seen["mlp"], block.norm2(behind))
    assert torch.equal(seen["hidden"], block.mlp.act(block.mlp.fc1(seen["mlp"])))
    assert torch.equal(seen["output"], behind + block.ls2(block.mlp.fc2(seen["hidden"])))
    assert not hooks_of(vit)


@torch.no_grad()
def test_reading__gives_the_neurons_as_they_are_before_the_edit(make_vit, images):
    vit, seen = add_test_time_registers(make_vit(scale_mlp_norm=True), {1: [3]}), []
    with reading(vit, {Site(1, "mlp"): seen.append, Site(1, "hidden"): seen.append}):
        vit.forward_features(images)
    mlp = vit.blocks[1].mlp
    hidden = torch.nn.functional.layer_norm(
        mlp.act(mlp.fc1(seen[0])),
        mlp.norm.normalized_shape,
        mlp.norm.weight,
        mlp.norm.bias,
        mlp.norm.eps,
    )
    torch.testing.assert_close(seen[1], hidden)
    assert split_tokens(vit, seen[1]).patches[:, :, 3].any()


def test_reading__leaves_nothing_behind(make_vit, images):
    vit = make_vit()

    def stop(_):
        raise KeyError

    with pytest.raises(KeyError), reading(vit, {Site(0): stop}):
        vit(images)
    assert not hooks_of(vit)
    with pytest.raises(InputError, match="no block 4: the model has blocks"):  # noqa: SIM117
        with reading(vit, {Site(0): stop, Site(4): stop}):
            pass
    assert not hooks_of(vit)
    odd = make_vit(block_fn=ParallelScalingBlock)
    with pytest.raises(InputError, match="block 2 is a ParallelScalingBlock without"):  # noqa: SIM117
        with reading(odd, {Site(0): stop, Site(2, "hidden"): stop}):
            pass
    assert not hooks_of(odd)


def test_family_of__knows_no_other_models():
    with pytest.raises(
        InputError, match=r"expected a timm VisionTransformer or .*, got Linear \(.*DINOv2"
    ):
        family_of(torch.nn.Linear(2, 2))
