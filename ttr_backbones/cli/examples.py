"""One command line for each command, which its help ends with."""

from __future__ import annotations

EXAMPLES = {
    "train": "ttrb train dinov2_vits14_linear_ade20k --data-root /data/ADEChallengeData2016",
    "test": "ttrb test dinov2_vits14_linear_ade20k iter_40000.pth --show-dir pictures",
    "predict": "ttrb predict dinov2_vits14_linear_ade20k iter_40000.pth photos --out predictions",
    "features": "ttrb features vit_small_patch14_dinov2.lvd142m --images photos --out features",
    "text": "ttrb text vit_base_patch16_clip_quickgelu_224.openai --checkpoint ViT-B-16.pt "
    "--classes imagenet --out imagenet.safetensors",
    "export": "ttrb export dinov2_vits14_linear_ade20k iter_40000.pth --out model.onnx",
    "configs": "ttrb configs dinov2_vitl14",
    "config": "ttrb config linear_ade20k --backbone dinov2_vitl14 --repair ttr --out mine.py",
    "prepare": "ttrb prepare nyu --bts sync.zip --mat nyu_depth_v2_labeled.mat --splits splits.mat",
    "check-data": "ttrb check-data dinov2_vits14_linear_ade20k --out problems.txt",
    "sweep": "ttrb sweep dinov2_vits14_lost_voc07 --blocks -1,-2 --bias 0,-0.1",
    "show": "ttrb show vit_large_patch14_dinov2.lvd142m --images photos --out shown",
    "attribute": "ttrb attribute llava-hf/llava-1.5-7b-hf --images photos --prompt 'What is this?' "
    "--neurons clip.json --dtype bfloat16 --out answers",
    "compare": "ttrb compare dinov2_vits14_linear_ade20k --seeds 0,1 --out work_dirs/compare",
    "benchmark": "ttrb benchmark augreg_vitt16=vitt16.safetensors --data data --images photos",
    "repair": "ttrb repair bias vit_small_patch16_224.dino --images photos --out dino.safetensors",
    "find-neurons": "ttrb find-neurons vit_small_patch16_224.dino --images photos --out dino.json",
    "verify": "ttrb verify vit_small_patch16_224.dino --images photos --neurons dino.json",
    "atlas": "ttrb atlas 'vit_*_patch14_dinov2.*' --images photos --out atlas",
    "lists": "ttrb lists",
    "bench": "ttrb bench memory",
    "demo": "ttrb demo --task depth --out demo",
    "doctor": "ttrb doctor",
}
