"""MODEL or CONFIG: what either means, and configs that give no ViT."""

from argparse import Namespace

import pytest

from ttr_backbones.app.vit_source import vit_source
from ttr_backbones.errors import InputError, MissingFileError

TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


def source(model, *options, checkpoint=None):
    return vit_source(
        Namespace(model=model, checkpoint=checkpoint, cfg_options=list(options) or None)
    )


@pytest.fixture
def config(tmp_path):
    def write(backbone):
        path = tmp_path / "own.py"
        path.write_text(f"model = dict(backbone={backbone!r})\n")
        return str(path)

    return write


def test_a_timm_name_is_itself():
    found = source(TAG)
    assert (found.model, found.checkpoint, found.choice()) == (TAG, None, None)
    assert found.register_neurons(None).layers == {6: [189], 7: [417]}, "the list that ships"


def test_a_config_gives_model_weights_and_registers(config, tmp_path):
    (tmp_path / "w.safetensors").touch()
    backbone = {
        "type": "TimmViT",
        "model": TAG,
        "checkpoint": str(tmp_path / "w.safetensors"),
        "model_kwargs": {"img_size": 448},
        "repair": {"type": "test_time", "neurons": {3: [1]}, "num": 2},
    }
    found = source(config(backbone))
    assert found.checkpoint == tmp_path / "w.safetensors"
    assert found.model_kwargs == {"img_size": 448}
    choice = found.choice()
    assert (choice.options, found.register_neurons(None).layers) == ({"num": 2}, {3: [1]})
    changed = source(config(backbone), "model.backbone.repair.num=3")
    assert changed.choice().options == {"num": 3}
    other = tmp_path / "other.safetensors"
    other.touch()
    assert source(config(backbone), checkpoint=other).checkpoint == other


def test_a_config_with_constants_gives_them_and_their_neurons(config, tmp_path):
    (tmp_path / "w.safetensors").touch()
    backbone = {"type": "TimmViT", "model": TAG, "checkpoint": str(tmp_path / "w.safetensors")}
    found = source(config(backbone | {"repair": {"type": "bias"}}))
    choice = found.choice()
    assert (choice.repair.type, choice.options) == ("bias", {})
    assert found.register_neurons(None) == choice.neurons
    assert found.register_neurons("auto") == found.register_neurons(None)
    with pytest.raises(InputError, match="'num' is no option of type='bias' any more"):
        source(config(backbone | {"repair": {"type": "bias", "num": 2}})).choice()


def test_a_packaged_config_goes_by_its_name():
    found = source("augreg_vitt16_ttr_linear_ade20k")
    assert (found.model, found.repair["neurons"]) == (TAG, "auto")


@pytest.mark.parametrize(
    ("backbone", "told"),
    [
        (None, "expected a config whose model.backbone is a TimmViT, got none"),
        ({"type": "ResNet"}, "got ResNet"),
        ({"type": "TimmViT", "model": TAG}, "the backbone has no weights.*--checkpoint FILE"),
    ],
)
def test_a_config_without_a_vit_is_explained(config, backbone, told):
    with pytest.raises(InputError, match=told):
        source(config(backbone))


def test_weights_that_are_not_there(config):
    backbone = {"type": "TimmViT", "model": TAG, "checkpoint": "nowhere.pth"}
    with pytest.raises(MissingFileError, match=r"no file at model\.backbone\.checkpoint=nowhere"):
        source(config(backbone))
