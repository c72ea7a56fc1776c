"""What timm knows of models without a file of facts."""

import pytest

from ttr_backbones.errors import InputError
from ttr_backbones.recipes.timm_facts import timm_facts


def test_models_with_rotary_positions():
    dinov3 = timm_facts("vit_small_patch16_dinov3.lvd1689m")
    assert "final_norm" not in dinov3.backbone
    assert (dinov3.facts.channels, dinov3.facts.facet) == (384, "key")
    assert dinov3.facts.mean == pytest.approx([123.675, 116.28, 103.53])
    assert timm_facts("eva02_tiny_patch14_224.mim_in22k").backbone.final_norm is False
    with pytest.raises(InputError, match=r"VisionTransformer or Eva .*, got Beit with 12"):
        timm_facts("beit_base_patch16_224")
