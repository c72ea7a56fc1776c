"""Repairs of models of transformers do what they say, or say that they cannot."""

import pytest
import torch
from hf_options import BASE, RATIO

from ttr_backbones.errors import InputError
from ttr_backbones.repairs import Artifact, apply_repair, fit_repair, remove_repair
from ttr_backbones.repairs.neighbours.outstanding import by_norm
from ttr_backbones.repairs.neighbours.replaced import replaced_by_neighbours

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


@pytest.mark.parametrize("kind", ["ring", "average_views"])
def test_other_images__are_refused(model, images, kind):
    artifact = fit_repair(kind, model, images)
    with pytest.raises(InputError, match="transformers model runs only on the images that it is"):
        apply_repair(model, artifact)
    assert type(model) is transformers.Dinov2Model
