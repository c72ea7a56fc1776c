import pytest
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.models import SegDataPreProcessor
from mmseg.registry import DATASETS

from ttr_backbones.datasets import KITTIDepth, NYUDepthV2
from ttr_backbones.engine import Draw
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.package_data import configs_dir

LINES = """/bedroom_0010/rgb_00109.jpg /bedroom_0010/sync_depth_00109.png 518.8579

bathroom/rgb_00045.jpg bathroom/sync_depth_00045.png 518.8579 bathroom/sync_seg_00045.png
"""


def nyu(root, text=LINES, **kwargs):
    (root / "nyu_train.txt").write_text(text)
    return NYUDepthV2("nyu_train.txt", str(root), **kwargs)


def test_list__one_pair_a_line(tmp_path):
    data = nyu(tmp_path)
    assert len(data) == 2
    assert data.get_data_info(1) == {
        "img_path": f"{tmp_path}/bathroom/rgb_00045.jpg",
        "depth_map_path": f"{tmp_path}/bathroom/sync_depth_00045.png",
        "focal": 518.8579,
        "seg_fields": [],
        "sample_idx": 1,
    }
    assert data.get_data_info(0)["img_path"] == f"{tmp_path}/bedroom_0010/rgb_00109.jpg"
    assert isinstance(data.metainfo, dict)


def test_list__with_folders_of_its_own(tmp_path):
    info = nyu(tmp_path, data_prefix={"img_path": "a", "depth_map_path": "b"}).get_data_info(0)
    assert info["img_path"] == f"{tmp_path}/a/bedroom_0010/rgb_00109.jpg"
    assert info["depth_map_path"] == f"{tmp_path}/b/bedroom_0010/sync_depth_00109.png"


@pytest.mark.parametrize("line", ["a.jpg b.png", "a.jpg", "my image.jpg my depth.png 518.8"])
def test_list__malformed_line(tmp_path, line):
    with pytest.raises(InputError, match=rf"nyu_train.txt, line 4: expected .*got '{line}'"):
        nyu(tmp_path, LINES + line)


def test_list__none_is_no_depth_map_of_nyu(tmp_path):
    with pytest.raises(InputError, match=r"line 4: NYUDepthV2 expects a depth map for every image"):
        nyu(tmp_path, LINES + "a.jpg None 518.8579")


def test_list__missing_or_empty(tmp_path):
    with pytest.raises(
        MissingFileError, match=r"the list .*absent.txt does not exist or is no file"
    ):
        NYUDepthV2("absent.txt", str(tmp_path))
    with pytest.raises(InputError, match="names no image with depth"):
        nyu(tmp_path, "\n\n")


@pytest.fixture
def folders(tmp_path):
    """mmseg's layout with a subfolder and a name without digits."""
    for name in ("bedroom_01", "attic", "deep/cellar_7"):
        for folder, suffix in (("images/train", ".jpg"), ("annotations/train", ".png")):
            path = tmp_path / folder / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path


def in_folders(root, **kwargs):
    prefix = {"img_path": "images/train", "depth_map_path": "annotations/train"}
    return NYUDepthV2(data_root=str(root), data_prefix=prefix, **kwargs)


def test_folders__sorted_and_recursive(folders):
    data = in_folders(folders)
    pairs = [
        (info["img_path"], info["depth_map_path"]) for info in map(data.get_data_info, range(3))
    ]
    assert pairs == [
        (f"{folders}/images/train/{name}.jpg", f"{folders}/annotations/train/{name}.png")
        for name in ("attic", "bedroom_01", "deep/cellar_7")
    ]


def test_folders__unequal_names(folders):
    (folders / "images/train/attic.jpg").rename(folders / "images/train/attic_2.jpg")
    expected = r"1 images \(attic_2\) in .*images/train have no .* 1 images \(attic\) in .*no image"
    with pytest.raises(InputError, match=expected):
        in_folders(folders)


def test_folders__empty_or_missing(folders):
    with pytest.raises(InputError, match=r"images/train \(data_prefix.img_path\) holds no \*.png"):
        in_folders(folders, img_suffix=".png")
    with pytest.raises(MissingFileError, match=r"elsewhere/images/train .*does not exist"):
        in_folders(folders / "elsewhere")


KITTI = """\
2011_09_26/d_sync/image_02/data/0000000069.png d_sync/proj_depth/0000000069.png 721.5377
2011_09_26/d_sync/image_02/data/0000000054.png None 721.5377
"""


def test_kitti__leaves_images_without_depth_out_and_says_so(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        "ttr_backbones.datasets.depth_data.print_log", lambda text, **_: said.append(text)
    )
    (tmp_path / "kitti_eigen_test.txt").write_text(KITTI)
    data = DATASETS.build(
        {"type": "KITTIDepth", "ann_file": "kitti_eigen_test.txt", "data_root": str(tmp_path)}
    )
    assert [info["img_path"] for info in map(data.get_data_info, range(len(data)))] == [
        f"{tmp_path}/input/2011_09_26/d_sync/image_02/data/0000000069.png"
    ]
    depth = f"{tmp_path}/gt_depth/d_sync/proj_depth/0000000069.png"
    assert data.get_data_info(0)["depth_map_path"] == depth
    assert len(said) == 1
    assert "1 of the 2 images" in said[0]


def test_kitti__without_any_depth(tmp_path):
    (tmp_path / "list.txt").write_text("a.png None 721.5\n")
    with pytest.raises(InputError, match="names no image with depth"):
        KITTIDepth("list.txt", str(tmp_path))


def test_real_pairs__go_through_the_published_pipelines_into_a_batch(shared):
    init_default_scope("mmseg")
    cfg = Config.fromfile(configs_dir() / "_base_" / "datasets" / "nyu.py")
    root = str(shared / "data" / "nyu")
    train = DATASETS.build(cfg.train_dataloader.dataset | {"data_root": root})
    batch = pseudo_collate([train[Draw(index, index, 0)] for index in range(2)])
    pad = SegDataPreProcessor(size=(420, 546), seg_pad_val=0)
    data = pad(batch, training=True)
    assert data["inputs"].shape == (2, 3, 420, 546)
    for sample in data["data_samples"]:
        depth = sample.gt_depth_map.data
        assert depth.shape == (1, 420, 546)
        assert not depth[:, 416:].any()
        assert not depth[:, :, 544:].any()
        assert 0.4 < depth[depth > 0].median() < 10
    test = DATASETS.build(cfg.test_dataloader.dataset | {"data_root": root})[0]
    assert test["inputs"].shape == (3, 480, 640)
    assert test["data_samples"].gt_depth_map.shape == (480, 640)
    assert test["data_samples"].ori_shape == (480, 640)
