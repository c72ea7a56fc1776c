"""`ttrb doctor` names what is wrong and how to mend it."""

import argparse

import pytest

from ttr_backbones.cli import doctor

HEALTHY = {
    "torch": "2.6.0",
    "torchvision": "0.21.0",
    "timm": "1.0.31",
    "mmengine": "0.10.7",
    "mmcv-lite": "2.1.0",
    "mmsegmentation": "1.2.2",
    "ftfy": "6.3.1",
    "regex": "2026.1.1",
    "opencv-python": "4.11.0.86",
    "albumentations": "2.0.8",
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "matplotlib": "3.10.8",
    "pillow": "12.3.0",
    "safetensors": "0.8.0",
    "tensorboard": "2.21.0",
    "packaging": "26.0",
    "rich": "15.0.0",
    "setuptools": "84.0.0",
}


def found(**changes):
    versions = {**HEALTHY, **{name.replace("_", "-"): v for name, v in changes.items()}}
    versions = {name: version for name, version in versions.items() if version is not None}
    return list(doctor.version_problems(versions))


def test_versions__healthy():
    assert found() == []
    assert found(mmcv_lite=None, mmcv="2.1.0") == []
    assert found(opencv_python_headless="4.11.0.86") == []


def test_versions__onedl_set_alone_is_fine():
    forks = {"onedl_mmengine": "0.10.8", "onedl_mmcv": "2.3.0", "onedl_mmsegmentation": "1.3.0"}
    assert found(mmengine=None, mmcv_lite=None, mmsegmentation=None, **forks) == []


@pytest.mark.parametrize(
    ("changes", "what", "mend"),
    [
        ({"timm": "1.0.21"}, "timm 1.0.21 initialises or loads", 'pip install "timm>=1.0.2'),
        ({"timm": "1.0.23"}, "timm 1.0.23", "pip install"),
        ({"mmcv_lite": "2.2.0"}, "refuses mmcv-lite 2.2.0", '"mmcv-lite>=2.1.0,<2.2.0"'),
        ({"mmcv": "2.2.0", "mmcv_lite": None}, "refuses mmcv 2.2.0", '"mmcv>=2.1.0,<2.2.0"'),
        ({"mmcv": "2.1.0"}, "mmcv and mmcv-lite are both", "pip uninstall -y mmcv mmcv-lite"),
        ({"onedl_mmcv": "2.3.0"}, "forks onedl-mmcv are both", "pip uninstall -y mmengine"),
        ({"torch": "2.1.2+cpu"}, "torch 2.1.2+cpu does not fit", 'pip install "torch>='),
        ({"numpy": "1.21.0"}, "numpy 1.21.0 does not fit: ttr_backbones needs >=", "numpy>="),
        (
            {"opencv_python": None, "opencv_python_headless": "3.4.1"},
            "opencv-python-headless 3.4.1 does not fit",
            'pip install "opencv-python-headless>=',
        ),
        ({"albumentations": "2.1.0"}, "albumentations 2.1.0", '"albumentations>=2.0.8,<2.1"'),
        ({"scipy": None}, "scipy is not installed", "pip install"),
        ({"ftfy": None}, "ftfy is not installed", "pip install"),
        ({"regex": None}, "regex is not installed", "pip install"),
        ({"opencv_python": None}, "opencv-python is not installed", "pip install"),
        (
            {"opencv_python_headless": "4.14.0.1"},
            "opencv-python 4.11.0.86, opencv-python-headless 4.14.0.1",
            "opencv-python==4.14.0.1 opencv-python-headless==4.14.0.1",
        ),
    ],
)
def test_versions__each_problem_has_its_mend(changes, what, mend):
    (problem,) = found(**changes)
    assert problem.fatal
    assert what in problem.what
    assert mend in problem.mend


def test_versions__what_only_an_extra_needs_may_be_absent_and_is_a_note_when_too_old():
    (problem,) = found(onnx="1.2.0")
    assert not problem.fatal
    assert "onnx 1.2.0 does not fit" in problem.what


def test_versions__a_folder_that_is_not_installed_declares_nothing(monkeypatch):
    def absent(name):
        raise doctor.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "distribution", absent)
    (problem,) = found()
    assert not problem.fatal
    assert "itself is not installed" in problem.what


def test_versions__every_dependency_is_looked_at():
    needed = {r.names[0] for r in doctor.declared_requirements() if r.extra in (None, "export")}
    assert needed <= set(doctor.PACKAGES)


def test_versions__openmim_without_pkg_resources_is_only_a_note():
    (problem,) = found(openmim="0.3.9")
    assert not problem.fatal
    assert "pkg_resources" in problem.what


def failing(**errors):
    def load(name):
        if name in errors:
            raise errors[name]

    return load


def test_imports__healthy():
    assert list(doctor.import_problems(failing())) == []


def test_imports__missing_libgl():
    error = ImportError("libGL.so.1: cannot open shared object file")
    (problem,) = doctor.import_problems(failing(cv2=error))
    assert "libgl1 libglib2.0-0" in problem.mend
    assert "opencv-python-headless" in problem.mend


def test_imports__cv2_emptied_by_an_uninstall():
    (problem,) = doctor.import_problems(failing(cv2=ImportError("No module named 'cv2'")))
    assert "also removes" in problem.what
    assert "--force-reinstall" in problem.mend


def test_imports__torchvision_beside_a_cpu_torch_is_mended():
    error = RuntimeError("operator torchvision::nms does not exist")
    (problem,) = doctor.import_problems(failing(torchvision=error))
    assert not problem.fatal
    assert "does not fit torch" in problem.what


def test_imports__torchvision_that_cannot_be_mended():
    (problem,) = doctor.import_problems(failing(torchvision=ImportError("undefined symbol: x")))
    assert problem.fatal
    assert "pytorch.org" in problem.mend


def test_imports__mmseg():
    error = AssertionError("MMCV==2.2.0 is used but incompatible")
    (problem,) = doctor.import_problems(failing(**{"mmseg.models": error}))
    assert "MMCV==2.2.0" in problem.what


@pytest.mark.parametrize("fatal", [True, False])
def test_run__prints_everything_and_exits_by_the_problems(monkeypatch, capsys, fatal):
    problem = doctor.Problem("it is broken", "mend it so", fatal=fatal)
    monkeypatch.setattr(doctor, "installed_versions", lambda: HEALTHY)
    monkeypatch.setattr(doctor, "import_problems", lambda: [problem])
    assert doctor.run(argparse.Namespace()) == int(fatal)
    out = capsys.readouterr().out
    for words in ("python ", "timm", "1.0.31", "device", "configs", "mmcv is", "cv2", "mend it so"):
        assert words in out
    assert ("PROBLEM: it is broken" in out) == fatal


def test_run__survives_a_broken_torch(monkeypatch, capsys):
    def broken():
        raise OSError("libcudart.so is missing\nmore")

    monkeypatch.setattr(doctor, "device", broken)
    monkeypatch.setattr(doctor, "import_problems", list)
    doctor.run(argparse.Namespace())
    assert "unknown (OSError: libcudart.so is missing)" in capsys.readouterr().out
