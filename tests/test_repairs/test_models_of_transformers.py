"""Repairs of models of transformers do what they say, or say that they cannot."""

import pytest
import torch
from hf_options import BASE, RATIO, TOWERS, random_weights
from safetensors.torch import load_file
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import image_batches
from ttr_backbones.repairs import Artifact, apply_repair, fit_repair, remove_repair
from ttr_backbones.repairs.neighbours.outlier_patches import by_norm
from ttr_backbones.repairs.neighbours.replacement import replaced_by_neighbours
from ttr_backbones.repairs.sinder import singular_defect_directions
from ttr_backbones.vits.create import create_vit
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.hf_block_parts import hf_block_parts
from ttr_backbones.vits.hf_parts import projections

transformers = pytest.importorskip("transformers")


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = transformers.Dinov2Model(transformers.Dinov2Config(**BASE, **RATIO)).eval()
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 48, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def states(model, images):
    return model(images, output_hidden_states=True).hidden_states


def test_neighbours__see_the_grid_in_the_own_pass(model, images):
    before = states(model, images)
    cls, patches = before[2][:, :1], before[2][:, 1:].unflatten(1, (4, 6))
    threshold = patches.norm(dim=3).quantile(0.8).item()
    apply_repair(model, fit_repair("neighbours", model, images, block=1, threshold=threshold))
    expected = replaced_by_neighbours(patches, by_norm(patches, threshold)).flatten(1, 2)
    assert (expected - patches.flatten(1, 2)).abs().max() > 0.1
    torch.testing.assert_close(states(model, images)[2], torch.cat([cls, expected], dim=1))
    torch.testing.assert_close(states(model, images[1:2])[2], states(model, images)[2][1:2])
    remove_repair(model)
    assert torch.equal(states(model, images)[3], before[3])


def test_learned_registers_and_parameters__leave_the_names_of_classes(model, images):
    before = states(model, images)
    projection = "embeddings.patch_embeddings.projection.weight"
    tensors = {
        "registers": torch.randn(2, 16),
        "embeddings.position_embeddings": 2 * model.embeddings.position_embeddings.detach(),
        projection: 2 * model.get_parameter(projection).detach(),
    }
    apply_repair(model, Artifact("ph_reg", "", tensors))
    after = states(model, images)
    assert [each.shape for each in after] == [each.shape for each in before]
    assert type(model.embeddings).__qualname__ == "Dinov2Embeddings"
    assert (after[3] - before[3]).abs().max() > 0.1
    remove_repair(model)
    assert torch.equal(states(model, images)[3], before[3])


@torch.no_grad()
def test_parts__make_the_block_again():
    """A token that is alone attends to itself, so that values pass the attention as they are."""
    for name, (kind, config, options, _) in TOWERS.items():
        torch.manual_seed(0)
        config = getattr(transformers, config)(**options)
        model = random_weights(getattr(transformers, kind)(config))
        family = family_of(model)
        x = torch.randn(2, 1, 16)
        expected = family.run_block(model, 1, x, family.rotation(model, (1, 1)))
        parts = family.parts(family.blocks(model)[1])

        def linear(part, x):
            return F.linear(x, part.weight, part.bias)

        one = torch.ones(16)
        scale1, scale2 = (one if s is None else s for s in (parts.scale1, parts.scale2))
        x = x + scale1 * linear(parts.proj, linear(parts.value, parts.norm1(x)))
        normed = parts.norm2(x)
        hidden = linear(parts.first_linear, normed)
        if parts.gate is None:
            hidden = parts.act(hidden)
        else:
            hidden = parts.act(linear(parts.gate, normed)) * hidden
        x = x + scale2 * linear(parts.second_linear, hidden)
        torch.testing.assert_close(x, expected, rtol=1e-5, atol=1e-5, msg=name)
        assert (parts.gate is not None) == (name in ("dinov2", "dinov3"))
        assert singular_defect_directions(model).shape == (3, 16)


def as_vit_model(weights):
    """The real ViT-Ti as a ViTModel of transformers, of either release."""
    config = transformers.ViTConfig(
        hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768,
        layer_norm_eps=1e-6,
    )  # fmt: skip
    model = transformers.ViTModel(config, add_pooling_layer=False).eval()
    model.embeddings.cls_token.data = weights["cls_token"]
    model.embeddings.position_embeddings.data = weights["pos_embed"]
    layers = {"patch_embed.proj": family_of(model).patch_embedding(model), "norm": model.layernorm}
    for index, block in enumerate(family_of(model).blocks(model)):
        parts = hf_block_parts(block)
        names = {"norm1": parts.norm1, "norm2": parts.norm2, "attn.proj": parts.proj.module}
        names |= {"mlp.fc1": parts.first_linear.module, "mlp.fc2": parts.second_linear.module}
        layers |= {f"blocks.{index}.{name}": layer for name, layer in names.items()}
        for name in ("weight", "bias"):
            pieces = weights[f"blocks.{index}.attn.qkv.{name}"].chunk(3)
            for layer, piece in zip(projections(block), pieces, strict=True):
                getattr(layer, name).data = piece
    for name, layer in layers.items():
        layer.weight.data, layer.bias.data = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return model


def test_sinder_and_projection__do_to_the_real_vit_what_they_do_in_timm(shared, tiny_weights):
    plain = create_vit("vit_tiny_patch16_224", checkpoint=tiny_weights)
    model = as_vit_model(load_file(tiny_weights))
    files = sorted((shared / "data" / "photos").iterdir())[:1]
    images = torch.cat(list(image_batches(files, plain)))
    with torch.no_grad():
        before = plain.forward_features(images)
        torch.testing.assert_close(model(images)[0], before, rtol=1e-3, atol=1e-3)
    sinder = {"direction": "block", "rule": "cosine", "border": True, "minimum": 1}
    fits = {
        "sinder": sinder | {"lr": 5e-2, "steps": 1, "window": 2},
        "projection": {"block": 7, "layers": "both"},
    }
    for kind, options in fits.items():
        artifacts = [fit_repair(kind, vit, images, **options) for vit in (plain, model)]
        names = [each.tensors.keys() for each in artifacts]
        assert names[0] == names[1]
        for name, tensor in artifacts[0].tensors.items():
            torch.testing.assert_close(artifacts[1].tensors[name], tensor, rtol=1e-3, atol=1e-4)
        with torch.no_grad():
            for vit, artifact in zip((plain, model), artifacts, strict=True):
                apply_repair(vit, artifact)
            after = plain.forward_features(images)
            torch.testing.assert_close(model(images)[0], after, rtol=5e-3, atol=5e-3)
            assert (after - before).abs().max() > 0.1
        for vit in (plain, model):
            remove_repair(vit)
    with torch.no_grad():
        assert torch.equal(plain.forward_features(images), before)
    with pytest.raises(InputError, match="attention takes no constant keys"):
        fit_repair("bias", model, images, neurons={7: [417]})


@pytest.mark.parametrize("kind", ["ring", "average_views"])
def test_other_images__are_refused(model, images, kind):
    artifact = fit_repair(kind, model, images)
    with pytest.raises(InputError, match="inputs of a transformers model cannot be transformed"):
        apply_repair(model, artifact)
    assert type(model) is transformers.Dinov2Model
