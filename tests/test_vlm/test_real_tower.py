"""End to end on the real ViT-Ti: a model that looks where the tower's features are largest."""

import pytest
import torch

from ttr_backbones.neuron_search.search import find_register_neurons
from ttr_backbones.registers import add_test_time_registers, remove_test_time_registers
from ttr_backbones.vits.hf_source import create_hf_vit
from ttr_backbones.vlm import attribute, feature_block, load_vlm, pointing, spread
from ttr_backbones.vlm.tower import norm_threshold

NEURONS = {6: [189], 7: [417]}
CAT = (0.051, 0.043, 0.757, 0.946)  # the cat of COCO 15497, as shares of the photograph


@pytest.fixture(scope="module")
def both(norm_reader, coco_photos):
    """Without and with a register."""
    plain = attribute(norm_reader, coco_photos, "where is it ?", max_new_tokens=3, batch_size=2)
    add_test_time_registers(norm_reader.model, NEURONS)
    try:
        return plain, attribute(norm_reader, coco_photos, "where is it ?", max_new_tokens=3)
    finally:
        remove_test_time_registers(norm_reader.model)


def test_map__jumps_from_the_outlier_corner_to_the_object(norm_reader, both):
    plain, moved = both
    assert feature_block(norm_reader.model) == 10
    threshold = norm_threshold([one.norms for one in plain])
    assert 50 < threshold < 500
    assert norm_threshold([one.norms for one in moved]) is None
    for before, after in zip(plain, moved, strict=True):
        outliers = before.norms > threshold
        assert 2 <= outliers.sum() <= 6
        assert before.weights.shape == after.weights.shape == (1, 196)
        assert outliers.flatten()[before.weights[0].argmax()]
        assert after.weights[0].argmax() == after.norms.flatten().argmax()
        assert spread(before, outliers).on_outliers > 0.99
        assert spread(after, outliers).on_outliers < 0.01
        assert (before.answer, after.answer) == ("corner", "object")
    seen = [pointing(one[0], [CAT]) for one in both]
    assert [one.hit for one in seen] == [False, True]
    assert seen[0].inside < 0.3 < 0.9 < seen[1].inside


def test_folder__gives_the_whole_and_its_tower_alone(norm_reader, both, coco_photos, tmp_path):
    for part in norm_reader:
        part.save_pretrained(tmp_path)
    loaded = load_vlm(tmp_path)
    (again,) = attribute(loaded, coco_photos[:1], "where is it ?", max_new_tokens=3)
    torch.testing.assert_close(again.weights, both[0][0].weights)
    tower = create_hf_vit(f"hf:{tmp_path}", pretrained=True)
    inside = norm_reader.model.model.vision_tower.state_dict()
    alone = tower.state_dict()
    assert alone.keys() == inside.keys()
    assert all(torch.equal(value, inside[key]) for key, value in alone.items())
    assert tower.pretrained_cfg["mean"] == (0.5, 0.5, 0.5)


def test_search__in_the_whole_model_is_that_of_its_tower(norm_reader, photos):
    whole, tower = norm_reader.model, norm_reader.model.model.vision_tower
    found = [find_register_neurons(m, photos(224)[:4], top_k=2).layers for m in (whole, tower)]
    assert found[0] == found[1]
    assert 417 in found[0][7]
