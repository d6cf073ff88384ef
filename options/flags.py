"""All flags that do not belong to one method, with their defaults: the published ones, and ours.

Preferred spellings are snake_case; published spellings are accepted as aliases.
"""

from __future__ import annotations

from argparse import ArgumentParser, _ArgumentGroup

from data import DATASETS
from data.cache import KINDS
from data.mask_noise import KINDS as KINDS_OF_NOISE
from data.mask_noise import STRENGTH, mask_noise
from data.placement import MODES
from engine.finite import ON_NAN
from engine.schedule import POLICIES
from instagan.flag_types import finite, real, whole
from instagan.inference.control import add_control_flags
from instagan.inference.styles import add_style_flags
from instagan.kernels.processor import PRECISIONS
from instagan.metrics.figures import METRICS
from instagan.metrics.measuring import MEASURED
from instagan.networks.blocks import INITIALISERS, NORMS
from models import MODELS

EVALUATED = tuple(name for name in MEASURED if name != "background_lpips")
"""Figures that need no weights of other programs."""
BEST_METRICS = tuple(name for name in EVALUATED if METRICS[name].better)
DEFAULT_METRICS = ("background_mae", "background_ssim", "instance_score", "balance", "fid")
DEFAULT_BEST = "balance"
SIZES = ("load_size_w", "load_size_h", "fine_size_w", "fine_size_h")
LEAST_SHARE = 0.5
"""What a window of --instance_crops must show of an instance's box, where --box_least_share is not given."""
MEMORY_FORMATS = ("auto", "channels_last", "contiguous")
ARCHITECTURE = ("model", "ngf", "ndf", "netG", "netD", "n_layers_D", "norm", "input_nc", "output_nc")
"""Flags that shape the networks of every method: a trained run's values cannot be changed."""


def add_common(parser: ArgumentParser) -> None:
    _add_run(parser.add_argument_group("run"))
    _add_data(parser.add_argument_group("data"))
    _add_networks(parser.add_argument_group("networks"))
    _add_execution(parser.add_argument_group("execution"))


def _add_run(group: _ArgumentGroup) -> None:
    group.add_argument("--config", is_config_file=True, metavar="FILE", help="YAML file with flags")  # type: ignore[call-arg]
    group.add_argument("--name", default="experiment_name", help="name of the run")
    group.add_argument("--suffix", default="", help="appended to the name; {flag} is replaced by the value of the flag")
    group.add_argument("--checkpoints_dir", default="./checkpoints", metavar="DIR", help="folder of all runs")
    group.add_argument("--model", choices=tuple(MODELS), default="insta_gan", help="method")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--gpu_ids", help="numbers of CUDA GPUs: 0, or 0,1,2,3 for a process on each; -1: CPU")
    group.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="random seed")
    group.add_argument("--deterministic", action="store_true", help="use deterministic GPU algorithms only (slower)")
    group.add_argument("--verbose", action="store_true", help="print the networks")
    group.add_argument("--epoch", default="latest", help="checkpoint to load: an epoch's number, latest, or best")
    group.add_argument("--load_iter", type=whole(0), default=0, help="load the checkpoint iter_N instead, if not 0")


def _add_cache(group: _ArgumentGroup) -> None:
    group.add_argument("--cache", choices=KINDS, default="none", help="cache decoded images; results are the same")
    group.add_argument("--cache_dir", default="./cache", metavar="DIR", help="folder of --cache disk")
    group.add_argument(
        "--cache_size", type=real(0, 2**20, above=True), default=4.0, help="largest size of the cache in GiB"
    )


def _add_data(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--dataset_mode",
        choices=tuple(DATASETS),
        help="type of data set, with flags of its own (default: depends on --model)",
    )
    group.add_argument("--batch_size", type=whole(1), default=1, help="image pairs in a batch, per process")
    group.add_argument("--num_threads", type=whole(0), default=4, help="worker processes that load images")
    group.add_argument("--serial_batches", action="store_true", help="load images in order, without shuffling")
    group.add_argument(
        "--max_dataset_size", type=real(0, above=True), default=float("inf"), help="largest number of images used"
    )
    group.add_argument(
        "--resize_or_crop", choices=MODES, default="resize_and_crop", help="how images are resized and cropped"
    )
    group.add_argument("--load_size", type=whole(1), help="width and height to resize to")
    group.add_argument("--load_size_w", "--loadSizeW", type=whole(1), default=220, help="width to resize to")
    group.add_argument("--load_size_h", "--loadSizeH", type=whole(1), default=220, help="height to resize to")
    group.add_argument("--fine_size", "--crop_size", type=whole(1), help="width and height of the crop")
    group.add_argument("--fine_size_w", "--fineSizeW", type=whole(1), default=200, help="width of the crop")
    group.add_argument("--fine_size_h", "--fineSizeH", type=whole(1), default=200, help="height of the crop")
    group.add_argument("--no_flip", action="store_true", help="no random horizontal flips")


def _add_networks(group: _ArgumentGroup) -> None:
    group.add_argument("--input_nc", type=whole(1, 1024), default=3, help="channels of images of A (3: RGB, 1: grey)")
    group.add_argument("--output_nc", type=whole(1, 1024), default=3, help="channels of images of B")
    group.add_argument("--ngf", type=whole(1), default=64, help="filters in the first layer of the generators")
    group.add_argument("--ndf", type=whole(1), default=64, help="filters in the first layer of the discriminators")
    group.add_argument("--n_layers_D", type=whole(1, 6), default=3, help="stride-2 layers of the discriminators")
    group.add_argument("--norm", choices=tuple(NORMS), default="instance", help="normalisation layer")
    group.add_argument("--init_type", choices=tuple(INITIALISERS), default="normal", help="weight initialisation")
    group.add_argument("--init_gain", type=finite(), default=0.02, help="scale of the weight initialisation")
    group.add_argument(
        "--no_dropout", action="store_true", help="accepted, without effect: the networks have no dropout"
    )


def _add_execution(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--precision", choices=PRECISIONS, default="fp32", help="precision of the networks; losses stay in fp32"
    )
    group.add_argument("--compile", action="store_true", help="use torch.compile (the first steps are slow)")
    group.add_argument(
        "--memory_format",
        choices=MEMORY_FORMATS,
        default="auto",
        help="memory format of the networks; auto: channels_last where it is faster",
    )
    group.add_argument("--no_tf32", action="store_true", help="do not use TF32 on a GPU (slower, more exact)")


def add_training(parser: ArgumentParser) -> None:
    _add_cache(parser.add_argument_group("cache"))
    _add_crops(parser.add_argument_group("crops"))
    _add_boxes(parser.add_argument_group("boxes"))
    _add_mask_noise(parser.add_argument_group("mask noise"))
    _add_faults(parser.add_argument_group("data faults"))
    _add_schedule(parser.add_argument_group("training"))
    _add_saving(parser.add_argument_group("saving"))
    _add_watching(parser.add_argument_group("watching"))
    _add_evaluating(parser.add_argument_group("evaluating"))


def _add_crops(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--instance_crops", action="store_true",
        help="for large images: train on windows of --fine_size around instances, at the images' own resolution, and "
        "translate in such windows",
    )  # fmt: skip


def _add_boxes(group: _ArgumentGroup) -> None:
    share = real(0, 1)
    group.add_argument(
        "--box_least_share", type=share,
        help="leave out instances of whose box the crop leaves less than this share (0.3: a third or so; default: 0, "
        f"with --instance_crops {LEAST_SHARE})",
    )  # fmt: skip
    group.add_argument(
        "--box_least_side", type=share, default=0.0,
        help="leave out instances whose box is narrower or lower than this share of the image's shorter side "
        "(0.05: 18 of 360 pixels)",
    )  # fmt: skip


def _add_mask_noise(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--mask_noise", type=mask_noise, metavar="KIND[:STRENGTH],...",
        help=f"train on damaged masks: {', '.join(KINDS_OF_NOISE)}, each with a strength from 0 to 1 ({STRENGTH}); "
        "docs/data.md",
    )  # fmt: skip


def _add_faults(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--skip_bad",
        action="store_true",
        help="skip unreadable images and use the next ones instead; each is named once",
    )
    group.add_argument(
        "--skip_bad_limit", type=whole(1), default=10, help="most images that may be skipped; one more stops the run"
    )


def _add_schedule(group: _ArgumentGroup) -> None:
    group.add_argument("--phase", default="train", help="which folders: <phase>A, <phase>A_seg, <phase>B, <phase>B_seg")
    group.add_argument("--direction", choices=("AtoB", "BtoA"), default="AtoB", help="BtoA swaps the domains")
    group.add_argument("--niter", type=whole(0), default=100, help="epochs at the initial learning rate")
    group.add_argument(
        "--niter_decay", type=whole(0), default=100, help="epochs in which the learning rate decays to zero"
    )
    group.add_argument(
        "--max_steps", type=whole(1), help="stop after this many steps, counted from the beginning of the run"
    )
    group.add_argument("--accumulate", type=whole(1), default=1, help="gradient accumulation steps")
    group.add_argument(
        "--checkpoint_activations", action="store_true", help="activation checkpointing: less memory, slower"
    )
    group.add_argument(
        "--on_nan",
        choices=ON_NAN,
        default="stop",
        help="NaN or infinite losses or gradients never change a weight. stop: save, name the images, end; "
        "skip: go on with the next batch; rollback: go on from the last checkpoint",
    )
    group.add_argument(
        "--on_nan_limit", type=whole(1), help="most steps skipped or rolled back (default: skip 1000, rollback 10)"
    )
    group.add_argument("--lr", type=finite(above=True), default=2e-4, help="learning rate")
    group.add_argument("--lr_D", type=finite(above=True), help="learning rate of the discriminators (default: --lr)")
    group.add_argument("--beta1", type=real(0, 0.999999), default=0.5, help="beta1 of Adam")
    group.add_argument(
        "--max_grad_norm",
        type=finite(above=True),
        help="largest norm of an optimizer's gradients: larger ones are scaled down to it (default: no limit)",
    )
    group.add_argument("--lr_policy", choices=POLICIES, default="lambda", help="learning rate schedule")
    group.add_argument(
        "--lr_decay_iters", type=whole(1), default=50, help="epochs between decays with --lr_policy step"
    )
    group.add_argument(
        "--lr_halve_steps", type=whole(1), default=100_000, help="updates between decays with --lr_policy halve"
    )
    group.add_argument(
        "--ema",
        type=real(0, 0.999999),
        default=0.0,
        help="translate with the exponential moving average of the generators' weights: the part that a step leaves of "
        "it, such as 0.999; 0: off",
    )
    group.add_argument("--no_lsgan", action="store_true", help="vanilla GAN loss instead of least squares (LSGAN)")
    group.add_argument(
        "--pool_size",
        type=whole(0),
        default=50,
        help="size of the image pool: earlier fakes shown to each discriminator",
    )


def _add_saving(group: _ArgumentGroup) -> None:
    group.add_argument("--continue_train", action="store_true", help="resume the run of this name")
    group.add_argument("--epoch_count", type=whole(1), default=1, help="number of the first epoch")
    group.add_argument(
        "--overwrite", action="store_true", help="delete the run of this name and start from the beginning"
    )
    group.add_argument(
        "--save_latest_freq", type=whole(0), default=5000, help="images between saves of the latest checkpoint"
    )
    group.add_argument("--save_epoch_freq", type=whole(0), default=5, help="epochs between numbered checkpoints")
    group.add_argument(
        "--save_minutes",
        type=real(0, 2**20),
        default=0.0,
        help="also save the latest checkpoint every this many minutes; 0: off",
    )
    group.add_argument("--keep_last", type=whole(0), default=0, help="numbered checkpoints to keep; 0: all")
    group.add_argument("--save_by_iter", action="store_true", help="also keep each of these saves as iter_<images>")


def _add_watching(group: _ArgumentGroup) -> None:
    group.add_argument("--print_freq", type=whole(1), default=100, help="images between two lines of losses")
    group.add_argument(
        "--display_freq", type=whole(1), default=400, help="images between two updates of the images in Visdom"
    )
    group.add_argument(
        "--update_html_freq", type=whole(1), default=1000, help="images between two updates of the web page"
    )
    group.add_argument("--no_html", action="store_true", help="write no web page")
    group.add_argument("--display_winsize", type=whole(16), default=256, help="width of displayed images in pixels")
    group.add_argument("--display_ncols", type=whole(0), default=6, help="images per row in Visdom")
    group.add_argument("--display_id", type=whole(-1), default=1, help="window in Visdom; 0 or -1: no Visdom")
    group.add_argument("--display_server", default="http://localhost", help="address of Visdom")
    group.add_argument("--display_env", default="main", help="environment in Visdom")
    group.add_argument("--display_port", type=whole(1, 65535), default=8097, help="port of Visdom")
    group.add_argument("--tensorboard", action="store_true", help="write TensorBoard events as well")


def _add_evaluating(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--eval_freq", type=whole(0), default=0, help="images between two evaluations on the validation set; 0: none"
    )
    group.add_argument("--eval_phase", default="val", help="which folders: <eval_phase>A, <eval_phase>A_seg, ...")
    group.add_argument(
        "--eval_size", type=whole(1), default=16, help="validation images of each domain, always the first ones"
    )
    group.add_argument(
        "--eval_metrics", nargs="+", choices=EVALUATED, default=list(DEFAULT_METRICS), metavar="METRIC",
        help=f"metrics: {', '.join(EVALUATED)}; docs/evaluation.md",
    )  # fmt: skip
    group.add_argument(
        "--best_metric", choices=BEST_METRICS, default=DEFAULT_BEST, metavar="METRIC",
        help="metric, averaged over both directions, whose best checkpoint is kept as best",
    )  # fmt: skip


def add_testing(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("testing")
    group.add_argument("--phase", default="test", help="which folders: <phase>A, <phase>A_seg, <phase>B, <phase>B_seg")
    group.add_argument(
        "--direction", choices=("AtoB", "BtoA", "both"), default="both", help="direction of the translation"
    )
    group.add_argument("--results_dir", default="./results/", metavar="DIR", help="folder of the results")
    group.add_argument("--num_test", type=whole(1), default=50, help="largest number of images of each domain")
    add_style_flags(group.add_argument)
    add_control_flags(group.add_argument)
    group.add_argument(
        "--original_size", action="store_true", help="translate whole images and write them in their original size"
    )
    group.add_argument(
        "--aspect_ratio", type=finite(above=True), default=1.0, help="aspect ratio of the results, width to height"
    )
    group.add_argument(
        "--save_coco", action="store_true", help="write the translated masks as annotations.json in COCO format"
    )
    group.add_argument(
        "--eval", action="store_true", help="accepted, without effect: the networks are the same in both modes"
    )
    group.add_argument("--display_winsize", type=whole(16), default=256, help="width of displayed images in pixels")
