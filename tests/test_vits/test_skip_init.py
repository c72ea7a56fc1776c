"""A model that a file fills is the same without the random values that it would have replaced."""

import pytest
import torch
from safetensors.torch import save_file

from ttr_backbones.vits.create import create_vit

SMALL = {"depth": 2, "embed_dim": 32, "num_heads": 2}


@pytest.mark.parametrize(
    "model",
    ["vit_small_patch16_dinov3.lvd1689m", "vit_base_patch16_siglip_224.v2_webli"],
)
def test_file__fills_a_model_for_which_nothing_was_drawn(model, tmp_path):
    options = {"model_kwargs": {**SMALL, "num_classes": 0}}
    drawn = create_vit(model, **options)
    save_file(drawn.state_dict(), tmp_path / "vit.safetensors")
    before = torch.get_rng_state()
    filled = create_vit(model, checkpoint=tmp_path / "vit.safetensors", **options)
    assert torch.equal(torch.get_rng_state(), before)
    for kind in ("named_parameters", "named_buffers"):  # of the latter some are in no file
        expected = dict(getattr(drawn, kind)())
        found = dict(getattr(filled, kind)())
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    create_vit(model, **options)
    assert not torch.equal(torch.get_rng_state(), before), "without a file it is drawn"
