"""Learned registers and replaced parameters: inside the model, in no output, off bit for bit."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.registers import has_test_time_registers, num_test_time_registers
from ttr_backbones.vits.class_swap import sharing_copy, unmix_all
from ttr_backbones.vits.learned_registers import add_learned_registers
from ttr_backbones.vits.replaced_parameters import replace_parameters


@pytest.fixture
def registers():
    return torch.randn(3, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def image():
    return torch.randn(2, 3, 48, 80, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_they_are_timms_own_registers_without_positions(make_vit, registers, image):
    """A model of timm with `reg_tokens` and `no_embed_class` of the same weights says the same."""
    vit = make_vit(class_token=True)
    trained = make_vit(reg_tokens=3, no_embed_class=True)
    state = {**vit.state_dict(), "reg_token": registers[None]}
    state["cls_token"] = vit.cls_token + vit.pos_embed[:, :1]
    state["pos_embed"] = vit.pos_embed[:, 1:]
    trained.load_state_dict(state)
    add_learned_registers(vit, registers)
    assert num_test_time_registers(vit) == 3
    assert not has_test_time_registers(vit)
    expected = trained.forward_features(image)
    found = vit.forward_features(image)
    torch.testing.assert_close(found, expected[:, [0, *range(4, expected.shape[1])]])


@torch.no_grad()
def test_copies_pickles_and_taking_them_off(make_vit, registers, image):
    vit = make_vit()
    before, other = vit(image), torch.randn_like(vit.pos_embed)
    bias = vit.patch_embed.proj.bias
    shared = sharing_copy(vit)
    add_learned_registers(vit, registers)
    with_registers = vit(image)
    replace_parameters(vit, {"pos_embed": other, "patch_embed.proj.bias": bias + 1})
    repaired = vit(image)
    assert not torch.equal(repaired, with_registers)
    assert vit.pos_embed.requires_grad
    for copied in (copy.deepcopy(vit), pickle.loads(pickle.dumps(vit))):
        assert torch.equal(copied(image), repaired)
        unmix_all(copied)
        assert torch.equal(copied(image), before)
    assert torch.equal(shared(image), before)
    unmix_all(vit)
    assert torch.equal(vit(image), before)
    assert vit.pos_embed.data_ptr() == shared.pos_embed.data_ptr()


def test_a_parameter_is_trained(make_vit, registers, image):
    vit = make_vit()
    vit.requires_grad_(requires_grad=False)
    add_learned_registers(vit, torch.nn.Parameter(registers))
    vit(image).sum().backward()
    assert vit.learned_registers.grad.abs().sum() > 0
    assert [name for name, p in vit.named_parameters() if p.grad is not None] == [
        "learned_registers"
    ]


def test_what_does_not_fit_is_explained(make_vit, registers):
    vit = make_vit()
    with pytest.raises(InputError, match=r"expected \[R, 32\] with R > 0, got \(3, 31\)"):
        add_learned_registers(vit, registers[:, :31])
    with pytest.raises(InputError, match=r"blocks.9.norm1.bias are \(32,\), the model has no such"):
        replace_parameters(
            vit, {"pos_embed": vit.pos_embed + 1, "blocks.9.norm1.bias": vit.norm.bias}
        )
    assert type(vit) is type(make_vit()), "changed"
    distilled = timm.create_model("deit_tiny_distilled_patch16_224", depth=2)
    with pytest.raises(InputError, match="puts its sequence together in a way of its own"):
        add_learned_registers(distilled, torch.zeros(1, 192))
