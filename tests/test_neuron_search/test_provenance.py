"""Hashes tell weights and images apart, and only them."""

import dataclasses

import pytest
import torch
from PIL import Image

from ttr_backbones.images.batches import image_batches
from ttr_backbones.neuron_search.provenance import differences, files_hash, provenance, weights_hash
from ttr_backbones.neuron_search.search import find_register_neurons
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers


def test_weights_hash__is_of_the_backbone(make_vit):
    vit = make_vit()
    known = weights_hash(vit)
    vit.reset_classifier(0)
    assert weights_hash(vit) == known
    add_test_time_registers(vit, {1: [3]})
    assert weights_hash(vit) == known
    with torch.no_grad():
        vit.blocks[3].mlp.fc2.bias[7] += 1e-3
    assert weights_hash(vit) != known
    assert weights_hash(make_vit(seed=1)) != known


def test_files_hash__is_of_names_and_sizes(make_vit, tmp_path):
    vit = make_vit()
    for name in ("a", "b"):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{name}.png")
    known = files_hash(image_batches(tmp_path, vit))
    assert known == files_hash(image_batches(tmp_path, vit, batch_size=1))
    assert known != files_hash(image_batches(tmp_path, vit, num_images=1))
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    assert known != files_hash(image_batches(tmp_path, vit))
    assert files_hash(image_batches(torch.zeros(1, 3, 64, 64), vit)) is None


def test_provenance__of_tensors(planted, tmp_path):
    truth = planted(places=[(1, 7)])
    batches = image_batches(truth.images, truth.vit)
    found = find_register_neurons(truth.vit, batches, threshold=60.0, top_k=1)
    told = provenance(found, truth.vit, batches)
    assert (told["num_images"], told["input_size"]) == (10, 96)
    dataclasses.replace(found, provenance=told).save(tmp_path / "n.json")
    loaded = RegisterNeurons.load(tmp_path / "n.json")
    assert loaded.layers == {1: [7]}
    assert differences(loaded, truth.vit, 96) == []


@pytest.mark.parametrize(("size", "count"), [(224, 0), (336, 0), (337, 1), (150, 0), (149, 1)])
def test_differences__in_size(make_vit, size, count):
    neurons = RegisterNeurons("", {1: [3]}, {"input_size": 224})
    assert len(differences(neurons, make_vit(), size)) == count


def test_differences__of_a_list_that_tells_nothing(make_vit):
    assert differences(RegisterNeurons("", {1: [3]}), make_vit(), 224) == []
