"""One export from end to end: loads the model, writes and verifies each format, prints a table."""

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.export_config import ExportConfig
from export.verify.formats import BFLOAT16, SAVED_MODEL, parse_tflite
from gradnet_tf.utils.backend import backend_name
from gradnet_tf.utils.command import remembered_interrupt
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, NotFiniteOutputError, UserError
from gradnet_tf.utils.files import require_free_space, require_writable
from gradnet_tf.utils.framework_start import quick_start, quiet_native_logs
from gradnet_tf.weights import AUTO


def export(
    config: ExportConfig, images: Any, calibration_images: Callable[[int], Any] | None = None
) -> int:
    """Runs an export.

    Args:
        config: what to export.
        images: set for the quality figures; read in gray or in RGB, as the network takes it.
        calibration_images: maps channels to the sets for choosing the ranges of int8 files; called
            only for such files. `None`: `images` alone.

    Returns:
        0, or 1 if an artifact failed its check (with the figures on standard error).
    """
    with quiet_native_logs(), quick_start():
        backend = backend_name()
        if backend != "tensorflow":
            raise UserError(
                f"KERAS_BACKEND={backend}: exporting needs the tensorflow backend. "
                "Unset the variable."
            )
        from export.verify.artifact import Job, note_other_weights, places, require_own_artifact
        from export.verify.checks import CheckFailed
        from export.verify.cpp_loader import LoaderError
        from export.verify.measure import mean_psnr
        from gradnet_tf.denoiser import load_denoiser

        if config.model == AUTO:
            raise UserError(
                "--model=auto: auto chooses weights for each picture; a file holds one network.\n"
                "Name it, such as --model=default."
            )
        denoiser = load_denoiser(config.model, "float32", runtime="keras")
    _require_exportable(denoiser, config, images)
    source = denoiser.source
    name = source["preset"] if source["kind"] == "run" else denoiser.name
    for format in config.formats:
        require_own_artifact(Path(config.output), *places(name, format, config.version))
    if denoiser.channels not in (None, images.channels):
        images = dataclasses.replace(images, channels=denoiser.channels)

    @functools.cache
    def int8_network():
        found = calibration_images(denoiser.channels) if calibration_images else (images,)
        return _int8_network(denoiser, found, config)

    @functools.cache
    def lean_model():
        from export.litert.silent_channels import without_silent_channels
        from gradnet_tf.runtimes.keras_file import describe, rebuild

        # A copy, because the denoiser's stays what the files are compared with. Not loaded again:
        # a training may have replaced the weights meanwhile.
        model = rebuild(describe(denoiser.model), "float32", name)
        model.set_weights(denoiser.model.get_weights())
        return without_silent_channels(model, images, source["trained_sigma"], config.seed)

    sigma = None if images.noisy(0) is not None else config.sigma
    psnr_keras = mean_psnr(denoiser, images, sigma, config.seed)
    job = Job(config, denoiser, name, images, sigma, psnr_keras, int8_network, lean_model)
    cards, failures = [], 0
    _require_space(job.output, denoiser.parameters)
    for format in dict.fromkeys(config.formats):
        print(f"{name}: {format} ...", flush=True)
        note_other_weights(job, *places(name, format, config.version))
        try:
            with remembered_interrupt():
                cards.append(_export_format(job, format))
        except (CheckFailed, LoaderError, NotFiniteOutputError) as error:
            failures += 1
            print(f"error: {format} was not written: {error}", file=sys.stderr)
        except OSError as error:
            raise UserError(f"--output={config.output}: cannot write: {error}") from error
    _print_table(cards, job)
    return EXIT_SOME_FAILED if failures else EXIT_OK


def _export_format(job, format: str):
    """Writes and verifies one artifact and its card."""
    from export.litert.tflite import export_tflite
    from export.savedmodel.saved_model_artifact import (
        export_saved_model,
        export_saved_model_bfloat16,
    )

    if format == SAVED_MODEL:
        return export_saved_model(job)
    if format == BFLOAT16:
        return export_saved_model_bfloat16(job)
    return export_tflite(job, parse_tflite(format))


def _int8_network(denoiser, image_sets, config: ExportConfig):
    from export.litert.int8_network import calibrated

    try:
        levels = denoiser.source["trained_sigma"]
        return calibrated(denoiser.model, image_sets, levels, config.seed, config.int8_naive)
    except ValueError as error:
        raise UserError(f"--formats: {error}. Leave int8 out.") from error


def _require_exportable(denoiser, config: ExportConfig, images: Any) -> None:
    """Raises for models and images that cannot be used, and for what a format does not support."""
    from export.savedmodel.limits import limits_for
    from gradnet_tf.tiling.tiler import info_of

    spec = config.model
    if denoiser.source["kind"] == "classical":
        raise UserError(f"--model={spec}: not a network, so it cannot be exported.")
    if denoiser.model is None:
        raise UserError(
            f"--model={spec}: already an exported file. Expected its source: a name of weights, a "
            "run folder or a .keras file."
        )
    if any(name.startswith("tflite") for name in config.formats):
        try:
            info_of(denoiser.model)
        except TypeError as error:
            raise UserError(
                f"--model={spec}: how far this network looks is unknown, which the cards of "
                ".tflite files state.\nExpected a network of this project or of a published kind. "
                "As a SavedModel it can be exported: --formats=saved_model"
            ) from error
    if denoiser.needs_sigma and any("int8" in name for name in config.formats):
        raise UserError(
            f"--model={spec}: 8-bit files are for blind networks, and this one is told the noise "
            "level.\nLeave int8 out, or export a blind network (such as gradnet_small)."
        )
    if any("int8" in name for name in config.formats):
        from export.litert.int8_network import require_supported

        try:
            require_supported(denoiser.model)
        except ValueError as error:
            raise UserError(f"--model={spec}: {error}.\nLeave out int8.") from error
    if denoiser.model.input_channels != denoiser.channels:
        method = denoiser.model.naive_denoiser.method
        raise UserError(
            f"--model={spec}: its naive denoiser is {method}, which is not part of the network, "
            "but exported files contain only a network.\nTo export, train with a network as "
            "--naive (or the preset's own); evaluate.py and `gradnet denoise` can run this model."
        )
    if not images.has_clean:
        raise UserError(
            f"--dataset={config.dataset}: has no clean images to measure the quality with. "
            "Choose another set."
        )
    limits_for(denoiser.model, config.max_pixels)


def _require_space(output: Path, parameters: int) -> None:
    """Raises if the disk is nearly full, because TensorFlow's writers would end in tracebacks."""
    try:
        require_writable(output, f"--output={output}")
        require_free_space(output, 5 * 4 * parameters + 2**20, "the export")
    except OSError as error:
        raise UserError(f"--output={output}: cannot write: {error.strerror or error}") from error


def _print_table(cards, job) -> None:
    if not cards:
        return
    print(f"\n{job.name}: Keras {job.psnr_keras:.3f} dB on {job.measured_on}")
    lines = [("file", "size", "max difference", "PSNR in dB", "loss in dB", "ms")]
    for card in cards:
        difference, quality = max(card["max_difference"].values()), card["quality"]
        # -0.0000 would look like a gain.
        drop = round(quality["drop_db"], 4) + 0.0
        times = ", ".join(f"{ms:.1f} ({n} threads)" for n, ms in card["latency_ms"].items())
        figures = (f"{difference:.1e}", f"{quality['psnr']:.3f}", f"{drop:.4f}", times)
        lines.append((card["file"], f"{card['bytes'] / 1e6:.2f} MB", *figures))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
    print(f"written to {job.output}, with a .json card beside each")
