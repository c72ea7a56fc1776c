"""SINDER's directions: the closed form is what sampling gives, and outliers lie along it."""

from __future__ import annotations

import pytest
import torch
from timm.layers import GluMlp, QuickGELU, RmsNorm, SwiGLU, SwiGLUPacked
from timm.models.eva import EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import ResPostBlock
from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import image_batches
from ttr_backbones.neuron_search.search import NoOutliersError
from ttr_backbones.repairs.sinder import defect_directions, singular_defect_directions
from ttr_backbones.repairs.sinder.gaussian import mean_slope, moments
from ttr_backbones.repairs.sinder.linear_block import linear_block, linear_hidden
from ttr_backbones.vits.family import Family, family_of
from ttr_backbones.vits.timm_parts import eva_parts, plain_parts

KINDS = {
    "gelu": {},
    "tanh_gelu": {"act_layer": "gelu_tanh"},
    "quick_gelu": {"act_layer": "quick_gelu"},
    "relu": {"act_layer": "relu"},
    "packed_swiglu": {"mlp_layer": SwiGLUPacked, "act_layer": "silu"},
    "glu": {"mlp_layer": GluMlp, "act_layer": "sigmoid"},
    "swiglu": {"mlp_layer": SwiGLU, "act_layer": "silu"},
}


@pytest.fixture
def biased(make_vit):
    """Make a ViT whose biases and norms are far from their first values."""

    def make(**kwargs):
        vit = make_vit(depth=2, **kwargs)
        for name, parameter in vit.named_parameters():
            if name.startswith("blocks."):
                nn.init.normal_(parameter, mean=float("norm" in name), std=0.4)
        return vit

    return make


@pytest.mark.parametrize(
    "act", [nn.GELU(), nn.GELU("tanh"), QuickGELU(), nn.SiLU(inplace=True), nn.ReLU(), nn.Sigmoid()]
)
def test_moments__are_the_integrals(act):
    mean = torch.tensor([0.0, 0.3, -2.0, 5.0, -300.0, 1.0]).double()
    std = torch.tensor([0.1, 1.0, 1.1, 3.0, 500.0, 20.0]).double()
    x = torch.linspace(-8, 8, 80_001).double()
    density = torch.exp(-x.square() / 2) / (2 * torch.pi) ** 0.5
    z = (mean[:, None] + std[:, None] * x).requires_grad_()
    value = act(z * 1.0)
    (slope,) = torch.autograd.grad(value.sum(), z)
    expected = (value.detach(), slope, slope * x / std[:, None])
    for found, each in zip(moments(act, mean, std), expected, strict=True):
        torch.testing.assert_close(found, torch.trapezoid(each * density, x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mean_slope(act, mean, std), moments(act, mean, std).slope)
    dead = moments(act, torch.ones(1).double(), torch.zeros(1).double())
    torch.testing.assert_close(dead.value, act(torch.ones(1).double()), rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_linear_hidden__is_the_least_squares_fit_of_many_samples(biased, kind):
    """As the authors do it, through timm's own MLP, with a quarter of their samples."""
    block = biased(**KINDS[kind]).blocks[0]
    parts = family_of(biased()).parts(block)
    x = torch.randn(25_000, 32, generator=torch.Generator().manual_seed(0))
    seen = []
    handle = block.mlp.norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    block.mlp(x)
    handle.remove()
    sampled = torch.linalg.lstsq(x, seen[0]).solution.T.double()
    closed = linear_hidden(parts.act, parts.first_linear, parts.gate)
    assert (closed - sampled).norm() < 0.08 * closed.norm()  # 100,000 samples: half of that
    assert parts.linears.keys() == {"value", "proj", "fc1", "fc2"} | (
        {"gate"} if kind == "swiglu" else set()
    )


@torch.no_grad()
def test_linear_block__is_the_block_on_a_lone_token_without_biases_and_division(biased):
    """With activations that are linear the block itself is the map, once its norms are."""
    plain = biased(act_layer=nn.Identity, init_values=0.5).blocks[0]
    linear = {"act_layer": nn.Identity, "init_values": 0.5}
    evas = [EvaBlock(32, 2, qkv_fused=fused, **linear) for fused in (True, False)]
    for block, parts in ((plain, plain_parts), (evas[0], eva_parts), (evas[1], eva_parts)):
        for name, parameter in block.named_parameters():
            nn.init.normal_(parameter, std=0.4)
            if name.endswith("bias"):
                parameter.zero_()
        for norm in (block.norm1, block.norm2):
            norm.forward = lambda x, norm=norm: (x - x.mean(dim=-1, keepdim=True)) * norm.weight
        tokens = torch.randn(5, 1, 32)  # each alone: attention is 1
        expected = tokens[:, 0].double() @ linear_block(parts(block)).T
        found = block(tokens)[:, 0].double()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)

    block = biased(norm_layer=RmsNorm, init_values=None).blocks[0]
    for layer in (block.attn.proj, block.mlp.fc2):
        layer.weight.zero_()
    assert torch.equal(linear_block(plain_parts(block)), torch.eye(32).double())


@torch.no_grad()
def test_directions__are_first_left_singular_vectors_of_blocks_and_products(biased):
    vit = biased()
    first, second = (linear_block(family_of(vit).parts(block)) for block in vit.blocks)
    for kind, matrices in (("block", (first, second)), ("product", (first, second @ first))):
        directions = singular_defect_directions(vit, kind)
        assert directions.dtype == torch.float32
        for found, matrix in zip(directions, matrices, strict=True):
            expected = torch.linalg.svd(matrix)[0][:, 0].float()
            assert (found @ expected).abs() > 0.99999
            assert found[found.abs().argmax()] > 0


@torch.no_grad()
def test_directions__of_a_planted_model_point_at_its_outliers(planted):
    model = planted(places=[(2, 5)])
    mlp = model.vit.blocks[2].mlp
    written = nn.functional.normalize(mlp.fc2.weight[:, 5], dim=0)
    images = image_batches(model.images, model.vit)
    empirical = defect_directions(model.vit, "empirical", images)
    assert (empirical[2:] @ written).abs().min() > 0.99
    assert not empirical[:2].any(), "before they appear"
    # A unit that fires for one token in 3,000 by chance is not in the linear map.
    assert (singular_defect_directions(model.vit, "block")[2] @ written).abs() < 0.5
    mlp.fc1.bias[5] = -mlp.fc1.weight[5].norm()
    for kind in ("block", "product"):
        assert (defect_directions(model.vit, kind, images)[2] @ written).abs() > 0.95
    random = defect_directions(model.vit, "random", images, seed=1)
    assert (random[2] @ written).abs() < 0.6
    torch.testing.assert_close(random.norm(dim=1), torch.ones(4))
    assert torch.equal(random, defect_directions(model.vit, "random", images, seed=1))
    assert not torch.equal(random, defect_directions(model.vit, "random", images, seed=2))


def test_what_has_no_directions__is_explained(make_vit):
    vit = make_vit()
    batches = image_batches(torch.randn(2, 3, 64, 64), vit)
    with pytest.raises(InputError, match=r"unknown kind of direction 'blok'. Did you mean 'block'"):
        singular_defect_directions(vit, "blok")
    with pytest.raises(InputError, match=r"unknown direction 'mean'.*empirical"):
        defect_directions(vit, "mean", batches)
    with pytest.raises(NoOutliersError):
        defect_directions(vit, "empirical", batches)
    with pytest.raises(InputError, match=r"block 0 is a block with a norm before .*empirical"):
        singular_defect_directions(make_vit(scale_mlp_norm=True))
    with pytest.raises(
        InputError, match="block 0 is a ResPostBlock with attn=Attention, mlp=Mlp, whose"
    ):
        singular_defect_directions(make_vit(block_fn=ResPostBlock))
    other = make_vit()
    other.blocks[1].norm2 = nn.BatchNorm1d(32)
    with pytest.raises(InputError, match="block 1 is a block with BatchNorm1d: expected a Layer"):
        singular_defect_directions(other)
    with pytest.raises(
        InputError, match="a Block with attn=Attention, mlp=Mlp, whose weights cannot"
    ):
        Family.parts(family_of(vit), vit.blocks[0])
    with pytest.raises(InputError, match="a EvaBlockPostNorm with attn=EvaAttention, mlp=Mlp, wh"):
        eva_parts(EvaBlockPostNorm(32, 2))
