"""Write dense features of a folder of images as sharded safetensors with an index."""

from __future__ import annotations

import argparse
from pathlib import Path

from ttr_backbones.app.launcher import add_launcher, take_names, this_process
from ttr_backbones.cli.arguments import add_cfg_options, allow_negative_lists, integer_list

DTYPES = ("fp16", "bf16", "fp32")  # inference.write_features imports too much for --help


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb features`."""
    parser.description = (
        "Writes one map [C, h, w] per image ([blocks, C, h, w] for several blocks), to be read by "
        "ttr_backbones.SavedFeatures(PATH)[name]. A killed run goes on with the same command. On "
        "several GPUs: torchrun --nproc-per-node N --no-python ttrb features ..., tools/slurm.sh, "
        "or any processes with RANK and WORLD_SIZE in the environment; they share nothing but the "
        "folder."
    )
    allow_negative_lists(parser)
    parser.add_argument("model", help="tagged timm name, or a config (its backbone is taken)")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="the images")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="PATH",
        help="folder for index.json and the shards, or a .json file for the index",
    )
    parser.add_argument(
        "--repair",
        metavar="R",
        help="none, a type of repair (what ships for the model), auto (its test-time register), or "
        "a file: a neuron list or an artifact (the config's, else none)",
    )
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="weights of the backbone (the hub's)"
    )
    parser.add_argument("--size", type=int, help="short side of the input, px (the model's own)")
    parser.add_argument(
        "--fit",
        choices=["whole", "square"],
        default="whole",
        help="whole images in their proportions, or central squares (whole)",
    )
    parser.add_argument(
        "--blocks", metavar="B,...", help="blocks, as 8,11 or -1 (the config's; -1)"
    )
    parser.add_argument("--dtype", choices=DTYPES, default="fp16", help="of what is saved (fp16)")
    parser.add_argument("--batch-size", type=int, default=8, help="images per batch (8)")
    parser.add_argument("--shard-size", type=int, default=128, help="images per shard (128)")
    parser.add_argument("--device", help="torch device (default: the GPU if there is one)")
    parser.add_argument(
        "--skip-bad", action="store_true", help="go on without images that cannot be used"
    )
    add_cfg_options(parser)
    add_launcher(parser)


def run(args: argparse.Namespace) -> int:
    """Write the features."""
    take_names(args.launcher, args.local_rank)
    rank, world_size, local_rank = this_process()
    blocks = None if args.blocks is None else integer_list("--blocks", args.blocks)
    from ttr_backbones.images.photos import photo_files

    photo_files(args.images)  # before gigabytes of weights are fetched

    import torch

    from ttr_backbones.app.backbone import make_backbone
    from ttr_backbones.app.devices import choose_device
    from ttr_backbones.app.progress import ProgressBar
    from ttr_backbones.inference import SavedFeatures, write_features

    device = args.device
    if device is None and torch.cuda.is_available():
        device = f"cuda:{local_rank}"
    device = choose_device(device)
    backbone, mean, std = make_backbone(
        args.model,
        repair=args.repair,
        checkpoint=args.checkpoint,
        blocks=blocks,
        cfg_options=args.cfg_options,
    )
    bar = ProgressBar()
    try:
        complete = write_features(
            backbone.to(device),
            args.images,
            args.out,
            mean=mean,
            std=std,
            size=args.size,
            fit=args.fit,
            dtype=args.dtype,
            batch_size=args.batch_size,
            shard_size=args.shard_size,
            skip_bad=args.skip_bad,
            rank=rank,
            world_size=world_size,
            progress=bar,
        )
    finally:
        bar.close()
    if not complete:
        print(f"process {rank} of {world_size} is done; the last one to finish writes the index")
        return 0
    features = SavedFeatures(args.out)
    left_out = f", {len(features.bad)} left out (named there)" if features.bad else ""
    print(f"features of {len(features)} images{left_out}: {features.index}")
    return 0
