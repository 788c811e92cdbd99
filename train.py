r"""Trains a denoiser: flags fill one configuration, the library does the rest.

Example:
  python train.py --preset=gradnet_small --dataset=bsds500 --data_dir=DATA --sigma=25 \
      --precision=mixed_bfloat16 --time_budget=12m --workdir=runs/small
The same command with the same --workdir resumes.
"""

from absl import flags

from datasets.facts import TRAINING_SETS
from gradnet_tf.command import run_script
from gradnet_tf.config import (
    OPTIMIZERS,
    SCHEDULES,
    STRATEGIES,
    TrainConfig,
    parse_duration,
    sigma_range,
)
from gradnet_tf.presets import PRECISIONS, PRESETS
from gradnet_tf.quiet import quiet_native_logs
from gradnet_tf.training.cluster import cluster_for

FLAGS = flags.FLAGS
NONE_MEANS = " (default: the preset's recipe)"

flags.DEFINE_string("preset", "gradnet_small", "network to train: " + ", ".join(PRESETS))
flags.DEFINE_string("dataset", "sample", "one, or a,b or a:2,b:1, of " + ", ".join(TRAINING_SETS))
flags.DEFINE_string("data_dir", None, "folder that holds the data set, or the set's parent")
flags.DEFINE_string("prepared_dir", None, "cache of decoded images, made there if absent")
flags.DEFINE_string("data_service", None, "grpc://host:port of a tf.data service for the input")
flags.DEFINE_integer("channels", 3, "3 for RGB, 1 for grey")
flags.DEFINE_float("sigma", None, "noise level, standard deviation, 0-255 scale (default: 25)")
flags.DEFINE_float("sigma_min", None, "with --sigma_max: a blind denoiser for a range")
flags.DEFINE_float("sigma_max", None, "highest noise level of a blind denoiser")
flags.DEFINE_string("degradation", None, "other noise, see docs/degradations.md: 'camera|jpeg(60)'")
flags.DEFINE_list("eval_sets", [], "sets or folders whose images must not be trained on")
flags.DEFINE_bool("allow_test_images", False, "train on images of test sets; recorded")
flags.DEFINE_string("strategy", "none", "one of " + ", ".join(STRATEGIES))
flags.DEFINE_integer("cpu_replicas", 1, "split the CPU, to try --strategy=mirrored without GPUs")
flags.DEFINE_float("worker_timeout", 300.0, "seconds until a silent worker counts as lost")
flags.DEFINE_string("precision", "float32", "one of " + ", ".join(PRECISIONS))
flags.DEFINE_integer("batch_size", None, "images per step over all replicas" + NONE_MEANS)
flags.DEFINE_integer("crop_size", None, "side of the training crops" + NONE_MEANS)
flags.DEFINE_integer("steps", None, "optimiser steps of the main stage" + NONE_MEANS)
flags.DEFINE_integer("naive_steps", None, "steps of the naive denoiser's stage" + NONE_MEANS)
flags.DEFINE_float("naive_share", None, "part of --time_budget for the naive stage" + NONE_MEANS)
flags.DEFINE_string("naive", None, "naive denoiser instead of a stage: as --model takes it")
flags.DEFINE_bool("joint", None, "train the naive denoiser along" + NONE_MEANS)
flags.DEFINE_float("gradient_loss_weight", 0.1, "weight λ of the gradient consistency loss")
flags.DEFINE_float("l2_share", 0.0, "part of the steps, the last, with L2 in place of L1")
flags.DEFINE_string("optimizer", None, "one of " + ", ".join(OPTIMIZERS) + NONE_MEANS)
flags.DEFINE_float("learning_rate", None, "peak learning rate" + NONE_MEANS)
flags.DEFINE_string("schedule", None, "one of " + ", ".join(SCHEDULES) + NONE_MEANS)
flags.DEFINE_integer("warmup_steps", 100, "steps of linear warm-up")
flags.DEFINE_float("clip_norm", 1.0, "bound on the global norm of the loss gradients")
flags.DEFINE_integer("accumulate", 1, "parts of a batch that are worked through one by one")
flags.DEFINE_float("ema", 0.0, "decay of the average of the weights that is kept, as 0.999")
flags.DEFINE_integer("nan_limit", 10, "skipped steps in a row until a run with NaN stops")
flags.DEFINE_string("time_budget", None, 'time for both stages, as "12m"')
flags.DEFINE_string("workdir", "runs/train", "folder of the run")
flags.DEFINE_integer("seed", 0, "decides initial values and every example")
flags.DEFINE_integer("log_every", 50, "steps between rows of log.jsonl")
flags.DEFINE_integer("checkpoint_every", 500, "steps between checkpoints")
flags.DEFINE_integer("validate_every", 1000, "steps between validations")
flags.DEFINE_integer("workers", 2, "input threads; never changes an example")
flags.DEFINE_list("scales", ["1"], "sizes at which every image is shown, as 1,0.7,0.5")
flags.DEFINE_integer("crop_candidates", 1, "the most textured of so many crops is taken")
flags.DEFINE_float("color_jitter", 0.0, "share of the crops whose colours are changed")
flags.DEFINE_float("frame_share", 0.0, "share of the crops that get a flat frame without noise")
flags.DEFINE_string("init_from", None, "trained weights of the same preset to start from")


def make_config() -> TrainConfig:
    """Fills the configuration from the flags."""
    values = {name: FLAGS[name].value for name in TrainConfig.__dataclass_fields__ if name in FLAGS}
    values["time_budget"] = parse_duration("time_budget", FLAGS.time_budget)
    values["data_service"] = bool(FLAGS.data_service) or None
    values |= sigma_range(FLAGS.sigma, FLAGS.sigma_min, FLAGS.sigma_max, FLAGS.degradation)
    return TrainConfig(**values)


def main() -> None:
    """Finds the data, trains, and says where the result is."""
    config = make_config()
    from datasets.stream import TrainingInput

    places = FLAGS.data_dir, FLAGS.prepared_dir, FLAGS.data_service
    source = TrainingInput(config, *places, FLAGS.eval_sets)
    with quiet_native_logs():
        from gradnet_tf.training.engines import start_devices

        # First, since it explains a missing backend; the next import needs it.
        start_devices(config.cpu_replicas, config.strategy, config.worker_timeout)
        from gradnet_tf.training.run import train
    # Before that, a backend that knows no clusters would not have said so.
    cluster = cluster_for(config.strategy)
    make_batches, validation = source.batch_maker(cluster), source.validation_pairs()
    result = train(config, make_batches, validation, source.facts())
    if not cluster.chief:
        return
    print(
        f"{config.preset}: {result['step']} steps in {result['elapsed']:.0f} s, validation PSNR "
        f"{result['psnr']:.2f} dB\n"
        f"The run is in {config.workdir}; next: python evaluate.py --model={config.workdir}"
    )


if __name__ == "__main__":
    run_script(main, __doc__)
