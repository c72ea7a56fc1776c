from types import SimpleNamespace

import pytest
from mmseg.models import SegDataPreProcessor

from ttr_backbones.engine.input_size import input_size_warning
from ttr_backbones.registers import RegisterNeurons


def model(crop, calibrated):
    provenance = {} if calibrated is None else {"input_size": calibrated}
    neurons = RegisterNeurons("vit_x.tag", {1: [2]}, provenance)
    return SimpleNamespace(
        backbone=SimpleNamespace(vit=SimpleNamespace(register_neurons=neurons)),
        data_preprocessor=SegDataPreProcessor(size=crop),
    )


@pytest.mark.parametrize(
    ("crop", "calibrated"), [(512, 518), (336, 224), (224, 224), (None, 224), (512, None)]
)
def test_near_or_unknown__is_silent(crop, calibrated):
    assert input_size_warning(model(crop and (crop, crop), calibrated)) is None


@pytest.mark.parametrize(("crop", "calibrated"), [(512, 224), (224, 518)])
def test_far__names_both_sizes_and_the_remedy(crop, calibrated):
    told = input_size_warning(model((crop, crop), calibrated))
    assert f"found at {calibrated} px, this run uses crops of {crop} px" in told
    assert f"ttrb verify vit_x.tag --neurons FILE --images DIR --size {crop}" in told


def test_models_without_registers__are_silent():
    plain = SimpleNamespace(backbone=SimpleNamespace(vit=SimpleNamespace()))
    assert input_size_warning(plain) is None
    assert input_size_warning(SimpleNamespace()) is None
