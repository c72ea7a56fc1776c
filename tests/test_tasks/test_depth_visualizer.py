import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample

import ttr_backbones.tasks.drawing.depth_visualizer  # noqa: F401
from ttr_backbones.tasks.drawing.depth import draw_depth

SIZE = (24, 32)


def make_sample(path="a/room.jpg", fields=("gt_depth_map", "pred_depth_map"), shift=0.0):
    depth = torch.linspace(1, 4, SIZE[0] * SIZE[1]).view(1, *SIZE) + shift
    maps = {"gt_depth_map": depth.where(depth > 2 + shift, 0), "pred_depth_map": depth.flip(2)}
    sample = SegDataSample(metainfo={"img_path": path})
    for field in fields:
        sample.set_field(PixelData(data=maps[field]), field)
    return sample


def drawn(sample):
    maps = (sample.get(field) for field in ("pred_depth_map", "gt_depth_map"))
    return draw_depth(IMAGE, *(None if one is None else one.data[0].numpy() for one in maps))


IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture
def visualizer(tmp_path):
    return VISUALIZERS.build(
        {
            "type": "DepthVisualizer",
            "name": str(tmp_path),  # mmengine keeps one visualizer for each name
            "vis_backends": [{"type": "LocalVisBackend"}],
            "save_dir": str(tmp_path),
        }
    )


def add(visualizer, sample, **options):
    """Call it as mmseg's SegVisualizationHook does."""
    options = {"show": False, "wait_time": 0, "step": 7} | options
    visualizer.add_datasample("test_room.jpg", IMAGE, data_sample=sample, **options)


def saved(folder):
    return {path.name: cv2.imread(str(path))[..., ::-1] for path in folder.rglob("*.png")}


@pytest.mark.parametrize(
    "fields", [("gt_depth_map", "pred_depth_map"), ("pred_depth_map",), ("gt_depth_map",), ()]
)
def test_picture__of_what_the_sample_has_goes_to_the_backends(visualizer, tmp_path, fields):
    sample = make_sample(fields=fields)
    add(visualizer, sample)
    ((name, picture),) = saved(tmp_path).items()
    assert name == "test_room.jpg_7.png"
    np.testing.assert_array_equal(picture, drawn(sample))


def test_picture__of_half_precision_and_with_gradient(visualizer, tmp_path):
    sample = make_sample()
    exact = sample.pred_depth_map.data
    sample.pred_depth_map.data = exact.bfloat16().requires_grad_()
    add(visualizer, sample)
    rounded = make_sample()
    rounded.pred_depth_map.data = exact.bfloat16().float()
    (picture,) = saved(tmp_path).values()
    np.testing.assert_array_equal(picture, drawn(rounded))


def test_pictures__of_one_name_in_two_folders_are_kept_apart(visualizer, tmp_path):
    samples = {
        "test_room.jpg_7.png": make_sample("a/room.jpg"),
        "test_room.jpg_1_7.png": make_sample("b/room.jpg", shift=2.0),
    }
    for _ in range(2):  # the same images again are the same files
        for sample in samples.values():
            add(visualizer, sample)
    pictures = saved(tmp_path)
    assert pictures.keys() == samples.keys()
    for name, sample in samples.items():
        np.testing.assert_array_equal(pictures[name], drawn(sample))
    add(visualizer, samples["test_room.jpg_7.png"], step=8)
    assert len(saved(tmp_path)) == 3


def test_out_file__is_written_instead(visualizer, tmp_path):
    path = tmp_path / "folder" / "picture.png"
    add(visualizer, make_sample(), out_file=str(path))
    ((name, picture),) = saved(tmp_path).items()
    assert name == path.name
    np.testing.assert_array_equal(picture, drawn(make_sample()))


def test_show__opens_a_window_instead(visualizer, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(visualizer, "show", lambda picture, **rest: shown.append((picture, rest)))
    add(visualizer, make_sample(), show=True, wait_time=3)
    ((picture, rest),) = shown
    np.testing.assert_array_equal(picture, drawn(make_sample()))
    assert rest == {"win_name": "test_room.jpg", "wait_time": 3}
    assert not saved(tmp_path)
