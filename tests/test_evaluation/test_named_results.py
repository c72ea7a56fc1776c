from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from ttr_backbones.evaluation import NamedIoUMetric, NamedVisualizationHook, NameResults

FILES = ["{}/1/a.png", "{}/2/a.png", "{}/2/b.png"]


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / file.format("images") for file in FILES]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(path)
    return [str(path) for path in paths]


def runner(files, *metrics):
    class Images(list):
        def get_data_info(self, index):
            return {"img_path": self[index]}

    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=Images(files)),
        evaluator=SimpleNamespace(metrics=metrics),
    )
    return SimpleNamespace(test_loop=loop, iter=0)


def test_masks__of_images_of_one_name_are_all_saved(files, tmp_path):
    metric = NamedIoUMetric(output_dir=str(tmp_path / "out"), format_only=True)
    metric.dataset_meta = {"classes": ("a", "b", "c")}
    NameResults().before_test(runner(files, metric))
    for number, file in enumerate(files):
        mask = torch.full((1, 4, 4), number)
        metric.process({}, [{"img_path": file, "pred_sem_seg": {"data": mask}}])
    saved = {f.name: int(np.array(Image.open(f))[0, 0]) for f in (tmp_path / "out").iterdir()}
    assert saved == {"1_a.png": 0, "2_a.png": 1, "b.png": 2}


def test_pictures__of_images_of_one_name_are_all_drawn(files, monkeypatch):
    drawn = {}

    class Drawer:
        def add_datasample(self, name, image, data_sample, **more):
            drawn[name] = int(image[0, 0, 0])

    monkeypatch.setattr(
        "mmseg.engine.hooks.visualization_hook.Visualizer.get_current_instance", Drawer
    )
    hook = NamedVisualizationHook(draw=True, interval=1)
    hook.before_test(runner(files))
    samples = [SegDataSample(metainfo={"img_path": file}) for file in files]
    for sample in samples:
        sample.pred_sem_seg = PixelData(data=torch.zeros(1, 4, 4))
    hook.after_test_iter(runner(files), 0, {}, samples)
    assert drawn == {"test_1_a": 0, "test_2_a": 1, "test_b.png": 2}
