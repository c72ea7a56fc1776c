"""Fitting what does not ship: once for every backbone; what cannot be fitted is named."""

from ttr_backbones.benchmark import fit
from ttr_backbones.repairs import Artifact


def test_fit_missing__keeps_what_was_fitted_and_names_what_could_not_be(
    tiny, data, tmp_path, monkeypatch
):
    name = str(tiny / "tiny.py")
    backbones = {name: tiny / "tiny.safetensors"}
    images = data / "VOCdevkit/VOC2007/JPEGImages"
    # A random model has no outliers, and a projection is fitted to their direction.
    kinds = ["none", "ring", "projection", "mine.safetensors"]
    found = fit.fit_missing(backbones, kinds, images, tmp_path)
    assert found.kinds == ["none", "ring", "mine.safetensors"], "a ring ships for every model"
    assert found.files == {}
    ((what, why),) = found.left_out
    assert what == f"{name}, projection"
    assert "outlier" in why

    calls = []

    def fit_repair(kind, vit, batches, on_step):
        calls.append((kind, sum(1 for _ in batches)))
        return Artifact(kind, "", {}, {"block": 1})

    monkeypatch.setattr(fit, "fit_repair", fit_repair)
    for _ in range(2):
        found = fit.fit_missing(backbones, ["projection"], images, tmp_path)
    (path,) = tmp_path.glob("tiny-*/projection.safetensors")
    assert found == ([], {name: [str(path)]}, [])
    assert Artifact.load(path).facts == {"block": 1}
    assert [kind for kind, _ in calls] == ["projection"], "it is fitted once"
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for photo in list(images.iterdir())[1:]:
        (fewer / photo.name).symlink_to(photo)
    elsewhere = fit.fit_missing(backbones, ["projection"], fewer, tmp_path).files[name]
    assert elsewhere != [str(path)], "other photographs have artifacts of their own"
    assert len(calls) == 2

    paths = []
    monkeypatch.setattr(fit, "_fit", lambda *args: paths.append(args[-1]))
    tags = ("augreg_in21k", "augreg_in21k_ft_in1k")
    named = {f"vit_tiny_patch16_224.{tag}": None for tag in tags}
    fit.fit_missing(named, ["projection"], images, tmp_path)
    assert len(set(paths)) == 2, "tags of one architecture have artifacts of their own"
