r"""Trains a denoiser as configured by the flags.

Example:
  python train.py --preset=gradnet_small --dataset=bsds500 --data_dir=DATA --sigma=25 \
      --precision=mixed_bfloat16 --time_budget=12m --workdir=runs/small
The same command with the same --workdir resumes.
"""

import dataclasses

from datasets.pipeline.pipeline_config import InputConfig
from datasets.sets.catalog import TRAINING_SETS
from datasets.sets.sample import require_packages
from gradnet_tf.training.config import NoiseLevel, TrainConfig, epoch_text, sigma_range
from gradnet_tf.training.workers.cluster import cluster_for
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.console import duration_text, note
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.framework_start import quick_start, quiet_native_logs
from gradnet_tf.utils.options import CommandLine, Given

COMMAND_LINE = CommandLine(NoiseLevel, TrainConfig, InputConfig, names={"dataset": TRAINING_SETS})


def make_config(given: Given) -> TrainConfig:
    """Fills the configuration from the flags."""
    if given.is_explicit("steps") and given.is_explicit("epochs"):
        raise UserError(
            "--steps and --epochs exclude each other. "
            f"Received: --steps={given['steps']} --epochs={given['epochs']}\nUse one of them."
        )
    levels = (given[name] for name in ("sigma", "sigma_min", "sigma_max", "degradation"))
    service = bool(given["data_service"]) or None
    return given.make(TrainConfig, data_service=service, **sigma_range(*levels))


def without_levels(given: Given, config: TrainConfig) -> TrainConfig:
    """Returns the configuration of a run on real noise, which has no σ.

    Raises:
        UserError: if one was given.
    """
    for name in ("sigma", "sigma_min", "sigma_max"):
        if given.is_explicit(name):
            raise UserError(
                f"dataset {config.dataset} has real noise, to which none is added. "
                f"Received: --{name}={given[name]:g}\nRemove the flag."
            )
    return dataclasses.replace(config, real_noise=True)


def result_text(config: TrainConfig, result: dict) -> str:
    """Returns the last lines: what `train` returned, and what to do next."""
    spent = duration_text(result["elapsed"])
    if budget := config.time_budget:
        over = ", the last step, validation and checkpoint included" * (result["elapsed"] > budget)
        spent += f" (--time_budget={duration_text(budget)}{over})"
    psnr = "–" if result["psnr"] is None else f"{result['psnr']:.2f}"
    return (
        f"{config.preset}: {result['step']} steps in {spent}, "
        f"validation PSNR {psnr} dB\n"
        f"The run is in {config.workdir}; next: python evaluate.py --model={config.workdir}"
    )


def main(given: Given) -> None:
    """Finds the data, trains, and prints where the result is."""
    config = make_config(given)
    require_packages(config.dataset)
    from datasets.pipeline.stream import TrainingInput

    source = TrainingInput(config, **dataclasses.asdict(given.make(InputConfig)))
    if source.only_real_noise:
        config = without_levels(given, config)
    count = source.usable_count() if config.epochs else 0  # decodes images of unknown size
    source.config = config = config.for_images(count)
    with quiet_native_logs(), quick_start():
        from gradnet_tf.training.engines.choose_engine import start_devices

        # First, because it reports a missing backend, which the next import needs.
        start_devices(config.cpu_replicas, config.strategy, config.worker_timeout)
        from gradnet_tf.training.run import train
    # Only now, after the devices were checked for their support of clusters.
    cluster = cluster_for(config.strategy)
    if config.epochs and cluster.chief:
        note(epoch_text(config, count))
    make_batches, validation = source.batch_maker(cluster), source.validation_pairs()
    from datasets.pipeline.tf_pipeline import input_errors

    with input_errors():
        result = train(config, make_batches, validation, source.info())
    if not cluster.chief:
        return
    print(result_text(config, result))


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
