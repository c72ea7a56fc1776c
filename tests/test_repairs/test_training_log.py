"""What a training fit says of itself reaches the caller and the artifact."""

from typing import ClassVar

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.repairs import REPAIRS, Artifact, Repair, fit_repair, register_repair
from ttr_backbones.repairs.training_log import TrainingLog


def test_facts__of_few_steps_are_all_of_them_and_of_many_means_over_stretches():
    log = TrainingLog()
    log.start(steps=3, parameters=7)
    for loss in (4.0, torch.tensor(2.0), 1.0):
        log.step(loss, images=8)
    assert log.facts == {
        "steps": 3,
        "steps_planned": 3,
        "images_seen": 24,
        "parameters": 7,
        "loss": [[1, 4.0], [2, 2.0], [3, 1.0]],
    }
    log.skip(images=8)
    told = log.facts
    assert (told["steps"], told["steps_trained"], told["images_seen"]) == (4, 3, 32)
    log = TrainingLog()
    log.start(steps=1003, parameters=7)
    for loss in (4.0, 2.0, 1.0):
        log.step(loss, images=8)
    for step in range(1000):
        log.step(float(step), images=1)
    curve = log.facts["loss"]
    assert len(curve) == 200
    assert curve[0] == [5, pytest.approx((4.0 + 2.0 + 1.0 + 0.0 + 1.0) / 5)]
    assert curve[-1] == [1003, pytest.approx(sum(range(994, 1000)) / 6)]


def test_step__a_training_that_diverges_stops_and_says_what_to_do():
    log = TrainingLog()
    log.start(steps=2, parameters=1)
    with pytest.raises(InputError, match=r"the loss is nan at step 1 of 2.*smaller learning rate"):
        log.step(float("nan"), images=1)
    with pytest.raises(InputError, match="steps=0: expected at least one step"):
        log.start(steps=0, parameters=1)


def test_fit_repair__tells_every_step_and_keeps_them_in_the_artifact(make_vit, monkeypatch):
    monkeypatch.setattr("ttr_backbones.repairs.registry.REPAIRS", dict(REPAIRS))

    @register_repair
    class Trained(Repair):
        type, label, colour, trains = "trained_here", "made up", "#000000", "a number"
        fit_options: ClassVar = {"steps": "how many"}

        def fit(self, vit, images, *, log=None, steps=2):
            log.start(steps=steps, parameters=5)
            for step in range(steps):
                log.step(1.0 / (step + 1), images=sum(len(batch) for batch in images))
            return Artifact(self.type, "", {}, {}, {"source": "here"})

        def apply(self, vit, artifact):
            raise NotImplementedError

        def describe(self, vit):
            raise NotImplementedError

    told = []
    images = torch.zeros(3, 3, 64, 64)
    artifact = fit_repair(
        "trained_here", make_vit(), images, on_step=lambda *step: told.append(step), steps=2
    )
    assert told == [(1, 2, 1.0), (2, 2, 0.5)]
    assert artifact.provenance["source"] == "here"
    fit = dict(artifact.provenance["fit"])
    assert 0 < fit.pop("seconds") < 60
    assert fit == {
        "num_images": 3,
        "steps": 2,
        "steps_planned": 2,
        "images_seen": 6,
        "parameters": 5,
        "loss": [[1, 1.0], [2, 0.5]],
    }
