"""Evaluators and the class of the model tell the task of a config."""

import pytest
from mmengine.config import Config

from ttr_backbones.errors import InputError
from ttr_backbones.evaluation import DepthMetric
from ttr_backbones.segmentors import FlipDepthEstimator
from ttr_backbones.tasks import TASKS, find_task, metric_of, task_of
from ttr_backbones.tasks.of_config import evaluators, metric_name, output_scale


class OwnDepth(FlipDepthEstimator):
    """Of nobody's registry."""


def config(model=None, evaluator=None):
    return Config({"model": {"type": model} if model else {}, "test_evaluator": evaluator})


@pytest.mark.parametrize(
    ("model", "evaluator", "task"),
    [
        ("EncoderDecoder", {"type": "IoUMetric"}, "segmentation"),
        ("mmseg.EncoderDecoder", None, "segmentation"),
        ("CascadeEncoderDecoder", None, "segmentation"),  # a subclass of mmseg's
        ("DepthEstimator", None, "depth"),  # a subclass of EncoderDecoder too
        (OwnDepth, None, "depth"),
        ("ObjectDiscoverer", {"type": "MyMetric"}, "object discovery"),
        ("MyModel", [{"type": "FPS"}, {"type": "mmseg.IoUMetric"}], "segmentation"),
        ("EncoderDecoder", {"type": "NYUDepthMetric"}, "depth"),  # what is scored counts more
        (None, {"type": "Evaluator", "metrics": [{"type": DepthMetric}]}, "depth"),
        ("MyModel", {"type": "DepthMetric"}, None),  # mmseg's own
        ("MyModel", None, None),
    ],
)
def test_find(model, evaluator, task):
    found = find_task(config(model, evaluator))
    assert found is (task and TASKS[task])


def test_two_tasks_of_one_evaluator__differ_by_the_model(monkeypatch):
    class WithText(type(TASKS["segmentation"])):
        name = "open vocabulary"
        models = ("TextSegmentor",)
        trains = False

    monkeypatch.setitem(TASKS, "open vocabulary", text := WithText())
    scored = {"type": "IoUMetric"}
    assert find_task(config("TextSegmentor", scored)) is text
    assert find_task(config("EncoderDecoder", scored)) is TASKS["segmentation"]
    assert find_task(config("CascadeEncoderDecoder", scored)) is TASKS["segmentation"]


def test_of_none__is_told_what_there_is():
    with pytest.raises(InputError, match=r"\(MyModel\) nor its test_evaluator \(FPS\).*Encoder"):
        task_of(config("MyModel", {"type": "FPS"}))
    with pytest.raises(InputError, match=r"one of the evaluators IoUMetric.*this config has FPS"):
        metric_of(config("EncoderDecoder", {"type": "FPS"}))  # the number has to be measured


def test_metric_name__is_the_registered_one():
    path = "ttr_backbones.evaluation.depth_metric.DepthMetric"
    names = [metric_name({"type": kind}) for kind in (DepthMetric, path, "mmseg.DepthMetric")]
    assert names == ["NYUDepthMetric", "NYUDepthMetric", "DepthMetric"]


def test_evaluators_and_their_scale__in_any_form():
    nested = {"type": "Evaluator", "metrics": [{"type": "A"}, {"type": "B", "output_scale": 256}]}
    assert [e["type"] for e in evaluators([nested])] == ["Evaluator", "A", "B"]
    assert output_scale({"test_evaluator": nested}) == 256.0
    assert output_scale({}) is None
