"""Weight files of timm's `Eva` as their publishers write them."""

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.vits.weights import load_weights


def as_dinov3(vit, bias=0.0):
    """Name the tensors of a timm DINOv3 as its authors do, with their biases of all three."""
    state = {}
    for key, tensor in vit.state_dict().items():
        if key.endswith(("q_bias", "v_bias")):
            continue
        key = key.replace("gamma_1", "ls1.gamma").replace("gamma_2", "ls2.gamma")
        state[key.replace("reg_token", "storage_tokens")] = tensor
    for index, block in enumerate(vit.blocks):
        own = block.attn.q_bias is not None
        zeros = torch.full((32,), bias)
        query, value = (block.attn.q_bias, block.attn.v_bias) if own else (zeros, zeros)
        state[f"blocks.{index}.attn.qkv.bias"] = torch.cat([query, torch.ones(32), value])
        state[f"blocks.{index}.attn.qkv.bias_mask"] = torch.ones(96)
    return state | {"mask_token": torch.zeros(1, 32), "rope_embed.periods": torch.ones(4)}


@pytest.mark.parametrize("biased", [True, False])
@torch.no_grad()
def test_a_dinov3_of_its_authors_gives_the_same_features(make_eva, tmp_path, capsys, biased):
    vit, other = (make_eva("dinov3", seed, qkv_bias=biased) for seed in (0, 1))
    torch.save(as_dinov3(vit), tmp_path / "dinov3.pth")
    load_weights(other, tmp_path / "dinov3.pth")
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(other.forward_features(image), vit.forward_features(image))
    assert not capsys.readouterr().out, "timm prints what it cannot place"


def test_biases_that_the_architecture_has_no_place_for_are_refused(make_eva, tmp_path):
    vit = make_eva("dinov3", qkv_bias=False)
    torch.save(as_dinov3(vit, bias=0.5), tmp_path / "dinov3.pth")
    with pytest.raises(InputError, match=r"qkv.bias of the file is not zero.*_qkvb"):
        load_weights(vit, tmp_path / "dinov3.pth")
