"""Many heads on one pass give what each gives alone: losses, gradients, predictions."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import ttr_backbones.heads
import ttr_backbones.probes  # both register their classes
from ttr_backbones.vits.taps import Tap

VIT = {
    "type": "TimmViT",
    "model": "vit_small_patch14_dinov2.lvd142m",
    "model_kwargs": {"depth": 4, "embed_dim": 32, "num_heads": 2, "init_values": 1.0},
    "repair": {"type": "test_time", "neurons": {1: [3], 2: [7]}},
}
SEG = {
    "type": "LinearSegHead",
    "num_classes": 5,
    "loss_decode": {"type": "CrossEntropyLoss"},
}
# What each head takes: (block, normed).
TAPS = [[(-1, True)], [(1, False)], [(1, True), (3, True)], [(3, True)]]


def seg_heads():
    return [
        {**SEG, "in_channels": [32] * len(own), "in_index": list(range(len(own)))} for own in TAPS
    ]


def depth_heads():
    linear = {"type": "LinearDepthHead", "n_bins": 16}
    heads = [{**linear, "in_channels": [64] * len(own)} for own in TAPS]
    dpt = {
        "type": "DPTDepthHead",
        "channels": 16,
        "in_channels": [64] * 4,
        "in_index": [0, 1, 2, 3],
    }
    return [*heads, dpt]


DPT_TAPS = [(0, False), (1, False), (2, False), (3, False)]
KINDS = {
    "whole": ("EncoderDecoder", "ProbeSegmentor", seg_heads(), TAPS, {"mode": "whole"}, "drop"),
    "slide": (
        "EncoderDecoder",
        "ProbeSegmentor",
        seg_heads(),
        TAPS,
        {"mode": "slide", "crop_size": (56, 56), "stride": (28, 28)},
        "drop",
    ),
    "depth": (
        "FlipDepthEstimator",
        "ProbeDepthEstimator",
        depth_heads(),
        [*TAPS, DPT_TAPS],
        {"mode": "whole", "flip": True},
        "concat",
    ),
}


def build(cfg, seed=0):
    torch.manual_seed(seed)
    return MODELS.build(ConfigDict(cfg))


def samples():
    generator = torch.Generator().manual_seed(1)
    made = []
    for height, width in ((84, 98), (70, 98)):
        sample = SegDataSample()
        sample.gt_sem_seg = PixelData(data=torch.randint(5, (1, 84, 98), generator=generator))
        sample.gt_depth_map = PixelData(data=10 * torch.rand(1, 84, 98, generator=generator))
        padding = [0, 0, 0, 84 - height]
        sample.set_metainfo(
            {
                "img_shape": (84, 98),
                "pad_shape": (84, 98),
                "ori_shape": (2 * height, 2 * width),
                "padding_size": padding,
            }
        )
        made.append(sample)
    return made


@pytest.fixture(params=KINDS)
def many_and_alone(request):
    alone_type, many_type, heads, taps, test_cfg, cls_token = KINDS[request.param]
    backbone = {**VIT, "cls_token": cls_token, "final_norm": False}
    common = {"test_cfg": test_cfg, "train_cfg": {}}
    names = [f"head{i}" for i in range(len(heads))]
    decode_head = {"type": "ProbeHeads", "heads": heads, "taps": taps, "names": names}
    many = build({"type": many_type, "backbone": backbone, "decode_head": decode_head, **common})
    alone = []
    for index, (head, own) in enumerate(zip(heads, taps, strict=True)):
        options = {"out_indices": tuple(b for b, _ in own), "final_norm": own[0][1]}
        model = build(
            {
                "type": alone_type,
                "backbone": {**backbone, **options},
                "decode_head": head,
                **common,
            }
        )
        model.backbone.vit.load_state_dict(many.backbone.vit.state_dict())
        with torch.no_grad():
            for parameter in many.decode_head.heads[index].parameters():
                parameter.add_(torch.randn(parameter.shape) / 10)
        model.load_state_dict(many.decode_head.weights_of(index))
        alone.append(model)
    return many, alone


def test_losses_and_gradients_are_those_of_each_alone(many_and_alone):
    many, alone = many_and_alone
    x = torch.randn(2, 3, 84, 98)
    many.train()
    losses = many(x, samples(), mode="loss")
    losses["loss_sum"].backward()
    total = 0
    for index, model in enumerate(alone):
        own = model.train()(x, samples(), mode="loss")
        loss = sum(value for key, value in own.items() if "loss" in key)
        loss.backward()
        torch.testing.assert_close(losses[f"head{index}"], loss.detach())
        total = total + loss.detach()
        for (name, given), expected in zip(
            many.decode_head.heads[index].named_parameters(),
            model.decode_head.parameters(),
            strict=True,
        ):
            if expected.grad is None:  # the output of mmseg's base class that DPT does not have
                assert given.grad is None
                continue
            torch.testing.assert_close(given.grad, expected.grad, msg=name)
    torch.testing.assert_close(losses["loss_sum"].detach(), total)


def test_predictions_are_those_of_each_alone_from_one_pass_per_window(many_and_alone):
    many, alone = many_and_alone
    x = torch.randn(2, 3, 84, 98)
    passes = []
    many.backbone.vit.patch_embed.register_forward_hook(lambda *_: passes.append(1))
    with torch.no_grad():
        given = many.eval()(x, samples(), mode="predict")
        count = len(passes)
        for index, model in enumerate(alone):
            alone_passes = []
            model.backbone.vit.patch_embed.register_forward_hook(
                lambda *_, seen=alone_passes: seen.append(1)
            )
            expected = model.eval()(x, samples(), mode="predict")
            assert count == len(alone_passes)
            for sample, wanted in zip(given, expected, strict=True):
                own, wanted = sample.probes[index], wanted.to_dict()
                assert "seg_logits" not in own
                field = "pred_depth_map" if "pred_depth_map" in wanted else "pred_sem_seg"
                torch.testing.assert_close(own[field]["data"], wanted[field]["data"])
                assert own["ori_shape"] == wanted["ori_shape"]
    assert many._windows == [], "no map is held on to"


def test_a_head_that_has_diverged_leaves_the_others_alone(many_and_alone):
    many, _ = many_and_alone
    x = torch.randn(2, 3, 84, 98)
    many.train()
    before = many(x, samples(), mode="loss")
    with torch.no_grad():
        next(many.decode_head.heads[1].parameters()).fill_(float("nan"))
    losses = many(x, samples(), mode="loss")
    assert losses["head1"].isnan()
    torch.testing.assert_close(losses["loss_sum"], before["loss_sum"] - before["head1"])
    losses["loss_sum"].backward()
    for index in (0, 2, 3):
        gradients = [
            p.grad for p in many.decode_head.heads[index].parameters() if p.grad is not None
        ]
        assert gradients
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_an_absent_block_is_explained():
    heads = {"type": "ProbeHeads", "heads": seg_heads()[:1], "taps": [[(4, True)]], "names": ["a"]}
    with pytest.raises(ValueError, match="--probe-grid block names block 4, the model has blocks"):
        build({"type": "ProbeSegmentor", "backbone": VIT, "decode_head": heads})


def test_classifiers__are_those_of_each_alone_from_one_pass():
    from ttr_backbones.classification.classifier import ImageClassifier
    from ttr_backbones.datasets import ClassSample

    heads, taps, alone = [], [], []
    for number, (blocks, patch) in enumerate((((-1,), True), ((0, 1), True), ((0, 1), False))):
        head = {
            "type": "LinearClassHead",
            "in_channels": [32] * len(blocks),
            "num_classes": 6,
            "mean_patch": patch,
            "init_seed": number,
        }
        backbone = {**VIT, "out_indices": blocks, "final_norm": True}
        alone.append(build({"type": "ImageClassifier", "backbone": backbone, "decode_head": head}))
        heads.append(head)
        taps.append([(block, True) for block in blocks])
    decode_head = {"type": "ProbeHeads", "heads": heads, "taps": taps, "names": ["a", "b", "c"]}
    many = build({"type": "ProbeClassifier", "backbone": VIT, "decode_head": decode_head})
    assert isinstance(many, ImageClassifier)
    passes = []
    many.backbone.vit.patch_embed.register_forward_hook(lambda *_: passes.append(1))
    x, given = torch.randn(2, 3, 84, 98), []
    for label in (4, 1):
        given.append(ClassSample(metainfo={"img_path": f"{label}.png"}))
        given[-1].gt_label = label
    losses = many(x, given, mode="loss")
    predicted = many(x, [sample.clone() for sample in given], mode="predict")
    assert len(passes) == 2
    for index, (name, model) in enumerate(zip("abc", alone, strict=True)):
        model.backbone.vit.load_state_dict(many.backbone.vit.state_dict())
        model.load_state_dict(many.decode_head.weights_of(index))
        torch.testing.assert_close(losses[name], model(x, given, mode="loss")["loss_ce"].detach())
        own = model(x, [sample.clone() for sample in given], mode="predict")
        for sample, wanted in zip(predicted, own, strict=True):
            found = sample.probes[index]
            assert torch.equal(found["pred_classes"], wanted.pred_classes)
            assert (found["gt_label"], found["img_path"]) == (wanted.gt_label, wanted.img_path)


def test_loss_stride__heads_of_one_pass_share_the_drawn_pixels():
    head = {**SEG, "in_channels": [3], "loss_stride": 7, "init_seed": 0}
    heads = build(
        {"type": "ProbeHeads", "heads": [head] * 2, "taps": [[(0, True)]] * 2, "names": "ab"}
    )
    heads.init_weights()
    tap = Tap(0, norm=True)
    heads.taps_of = [[tap]] * 2
    drawn = [heads.loss({tap: torch.randn(2, 3, 6, 7)}, samples(), {}) for _ in range(3)]
    assert all(losses["a"] == losses["b"] for losses in drawn)


def test_a_head_whose_class_computes_another_loss_keeps_it():
    class Doubled(ttr_backbones.heads.LinearSegHead):
        def loss_by_feat(self, seg_logits, batch_data_samples):
            losses = super().loss_by_feat(seg_logits, batch_data_samples)
            return {"loss": 2 * losses["loss_ce"]}

    head = {**SEG, "in_channels": [3], "init_seed": 0}
    heads = build(
        {
            "type": "ProbeHeads",
            "heads": [head, {**head, "type": Doubled}],
            "taps": [[(0, True)]] * 2,
            "names": "ab",
        }
    )
    heads.init_weights()
    tap = Tap(0, norm=True)
    heads.taps_of = [[tap]] * 2
    losses = heads.loss({tap: torch.randn(2, 3, 6, 7)}, samples(), {})
    torch.testing.assert_close(losses["b"], 2 * losses["a"])
