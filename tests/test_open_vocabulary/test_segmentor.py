"""`OpenVocabularySegmentor` against the pipeline by hand, on a tiny CLIP."""

import dataclasses

import pytest
import torch
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.open_vocabulary import OpenVocabularySegmentor
from ttr_backbones.open_vocabulary.windows import window_starts
from ttr_backbones.text_vectors import classifier_vectors
from ttr_backbones.vits.create import create_vit
from ttr_backbones.vits.text_space import project_patches


def sample_of(size):
    return SegDataSample(metainfo={"ori_shape": size})


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 104, generator=torch.manual_seed(4))


def by_hand(model, vectors, image, size, scale):
    """One window at a time, through timm's own pass and head."""
    H, W = image.shape[1:]
    vit = model.backbone.vit
    total, times = torch.zeros(6, H, W), torch.zeros(H, W)
    for x in window_starts(W, 64, 32):
        window = image[None, :, :, x : x + 64]
        patches = vit.head(vit.forward_features(window)[:, 1:])
        cosines = F.cosine_similarity(patches[0, :, None], vectors.vectors[None], dim=2)
        cosines = F.interpolate(cosines.T.reshape(1, 6, 4, 4), size=(64, 64), mode="bilinear")
        total[:, :, x : x + 64] += cosines[0]
        times[:, x : x + 64] += 1
    full = F.interpolate((total / times)[None], size=size, mode="bilinear")[0]
    soft = (scale * full).softmax(dim=0)
    return torch.stack([soft[:2].amax(dim=0), soft[2], soft[3:].amax(dim=0)])


@torch.no_grad()
@pytest.mark.parametrize("last_block", [None, {"attention": "sclip"}])
def test_by_hand__windows_projection_cosine_softmax(backbone, vectors, images, last_block):
    model = OpenVocabularySegmentor(
        backbone, vectors, last_block, crop=64, stride=32, logit_scale=20, keep_scores=True
    )
    passes = []
    model.backbone.register_forward_hook(lambda *_: passes.append(1))
    samples = model.eval()(images, [sample_of((50, 90)), sample_of((70, 100))])
    assert len(passes) == 1, "one pass for inputs of one size, whatever their sizes on disk"
    for image, sample in zip(images, samples, strict=True):
        size = sample.metainfo["ori_shape"]
        expected = by_hand(model, vectors, image, size, 20)
        torch.testing.assert_close(sample.seg_logits.data, expected, rtol=1e-3, atol=1e-4)
        assert torch.equal(sample.pred_sem_seg.data[0], sample.seg_logits.data.argmax(dim=0))
    assert (model.num_classes, model.class_names) == (3, ("sky", "cat", "dog"))
    assert model.state_dict() == {}
    # CLS goes where `forward_head` puts it: patches are in the same space.
    vit = model.backbone.vit
    tokens = vit.forward_features(images[:, :, :64, :64])
    torch.testing.assert_close(project_patches(vit, tokens[:, 0]), vit.forward_head(tokens))


@torch.no_grad()
def test_a_batch_of_several_sizes_is_its_images_and_few_windows_at_once_are_many(
    backbone, vectors, images
):
    repair = {"type": "test_time", "neurons": {1: [3, 7]}}
    options = {"last_block": {"attention": "naclip", "register_keys": False}, "pamr": {"steps": 2}}
    model = OpenVocabularySegmentor(
        {**backbone, "repair": repair}, vectors, crop=64, stride=40, fit="pad", **options
    ).eval()
    mixed = [images[0], images[0, :, :50, :70], images[1]]
    together = model(mixed)
    model.windows_at_once = 1
    for image, sample in zip(mixed, together, strict=True):
        (alone,) = model([image])
        agree = alone.pred_sem_seg.data == sample.pred_sem_seg.data
        assert agree.float().mean() > 0.999  # ties in the last digit
        assert "seg_logits" not in alone
    plain = OpenVocabularySegmentor(backbone, vectors, crop=64, stride=40).eval()
    assert not torch.equal(plain(mixed)[0].pred_sem_seg.data, together[0].pred_sem_seg.data)


@torch.no_grad()
def test_rows_of_a_classifier__are_scores_of_the_model_itself(backbone, images):
    of_classes = {"type": "TimmViT", "model": "vit_tiny_patch16_224", "pos_embed": "timm"}
    rows = {"bird": [1, [3, 5]], "cat": [0]}
    model = OpenVocabularySegmentor(of_classes, {"rows": rows}, keep_scores=True).eval()
    vit = model.backbone.vit
    tokens = vit.forward_features(images[..., :96])
    logits = vit.head(tokens[:, 1:])[:, :, [1, 3, 4, 5, 0]]
    maps = logits.transpose(1, 2).unflatten(2, (4, 6))  # 104 pixels are six patches and a half
    full = F.interpolate(maps, size=(64, 104), mode="bilinear").softmax(dim=1)
    expected = torch.stack([full[:, :4].amax(dim=1), full[:, 4]], dim=1)
    found = torch.stack([sample.seg_logits.data for sample in model(images)])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    # A classifier without a bias is no text either.
    torch.manual_seed(0)
    vit = create_vit("vit_tiny_patch16_224", model_kwargs={"num_classes": 1000})
    torch.manual_seed(0)
    vectors = dataclasses.replace(classifier_vectors(vit, {"cat": [0]}), bias=None)
    assert not OpenVocabularySegmentor(of_classes, vectors).is_text


def test_what_cannot_be_is_explained(backbone, vectors, images):
    for options, message in [
        ({"crop": 64}, "crop=64 and stride=None: expected both"),
        ({"crop": 64, "stride": 80}, "stride=80: expected 1..64"),
        ({"fit": "crop"}, "fit 'crop'"),
        ({"prob_thd": 1.5}, "prob_thd=1.5: expected 0"),
        ({"pamr": {"step": 3}}, "option of pamr 'step'"),
        ({"windows_at_once": 0}, "windows_at_once=0"),
        ({"last_block": {"kind": "qq"}}, "option of last_block 'kind'"),
    ]:
        with pytest.raises(InputError, match=message):
            OpenVocabularySegmentor(backbone, vectors, **options)
    with pytest.raises(InputError, match=r"backbone.final_norm=False: .* takes final_norm=True"):
        OpenVocabularySegmentor({**backbone, "final_norm": False}, vectors)
    of_classes = {"type": "TimmViT", "model": "vit_tiny_patch16_224"}
    with pytest.raises(InputError, match="logit_scale=40 is for cosines"):
        OpenVocabularySegmentor(of_classes, {"rows": {"cat": [0]}}, logit_scale=40)
    model = OpenVocabularySegmentor(backbone, vectors)
    with pytest.raises(InputError, match=r"nothing to train. Use `ttrb test CONFIG`"):
        model(images, mode="loss")
    with pytest.raises(ValueError, match="shorter than argument 1"):
        model(images, [sample_of((50, 90))] * 3)  # as many samples as images
