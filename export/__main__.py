"""Exports a denoiser as SavedModel and TFLite files, each compared with Keras before it counts.

Example:
  python -m export --model=gradnet_tiny --output=exported --formats=saved_model,tflite_float32
The quality in the cards is measured on the sample photographs, or on --dataset in --data_dir.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import flags  # noqa: E402

from export.config import FORMATS, ExportConfig  # noqa: E402
from gradnet_tf.command import run_script  # noqa: E402
from gradnet_tf.errors import EXIT_OK, EXIT_SOME_FAILED, UserError  # noqa: E402
from gradnet_tf.quiet import quiet_native_logs  # noqa: E402

FLAGS = flags.FLAGS

flags.DEFINE_string("model", "default", "weights' name, run folder or .keras file")
flags.DEFINE_string("output", None, "folder for the artefacts")
flags.DEFINE_list("formats", list(FORMATS), "some of " + ", ".join(FORMATS))
flags.DEFINE_string("dataset", "sample", "images for the quality figures, see docs/datasets.md")
flags.DEFINE_string("data_dir", None, "folder that holds the data set, or the set's parent")
flags.DEFINE_integer("max_images", None, "take the first so many images")
flags.DEFINE_float("sigma", 25.0, "noise level of the quality figures, on the 0-255 scale")
flags.DEFINE_integer("seed", 0, "seed of their noise")
flags.mark_flag_as_required("output")


def main() -> int:
    """Loads, exports format by format, prints the table."""
    values = {name: FLAGS[name].value for name in ExportConfig.__dataclass_fields__}
    config = ExportConfig(**{**values, "formats": tuple(FLAGS.formats)})
    output = Path(config.output)
    if output.exists() and not output.is_dir():
        raise UserError(f"--output={output}: expected a folder. Received: a file.")
    from datasets.resolve import find_dataset

    images = find_dataset(config.dataset, config.data_dir, max_images=config.max_images)
    return export(config, images)


def export(config: ExportConfig, images) -> int:
    """Exports as `config` says; `images` is the set for the quality figures.

    Returns:
        0, or 1 when an artefact failed its check (its figures are on standard error).
    """
    with quiet_native_logs():
        from export.artefacts import EXPORTERS, Job
        from export.checks import CheckFailed
        from export.cpp_loader import LoaderError
        from export.measure import mean_psnr
        from gradnet_tf.inference.load import load_denoiser

        denoiser = load_denoiser(config.model)
    if denoiser.model is None:
        raise UserError(
            f"--model={config.model}: already an exported file. Expected what it was made from: "
            "weights' name, run folder or .keras file."
        )
    source = denoiser.source
    name = source["preset"] if source["kind"] == "run" else denoiser.name

    def quality(candidate):
        return mean_psnr(candidate, images, config.sigma, config.seed)

    facts = (quality(denoiser), images.name, config.sigma)
    job = Job(denoiser, name, Path(config.output), quality, *facts)
    rows, failures = [], 0
    for format in dict.fromkeys(config.formats):
        print(f"{name}: {format} ...", flush=True)
        try:
            rows.append(EXPORTERS[format](job))
        except (CheckFailed, LoaderError) as error:
            failures += 1
            print(f"error: {format} was not written: {error}", file=sys.stderr)
        except OSError as error:
            raise UserError(f"--output={config.output}: cannot write: {error}") from error
    _print_table(rows, job)
    return EXIT_SOME_FAILED if failures else EXIT_OK


def _print_table(rows, job) -> None:
    if not rows:
        return
    print(f"\n{job.name}: Keras {job.psnr_keras:.3f} dB on {job.dataset}, sigma {job.sigma:g}")
    lines = [("file", "size", "max difference", "PSNR in dB", "loss in dB", "ms at 256x256")]
    for row in rows:
        # -0.0000 would look like a gain.
        drop = round(row.drop_db, 4) + 0.0
        times = ", ".join(f"{ms:.1f} ({n} threads)" for n, ms in row.latency_ms.items())
        figures = (f"{row.max_difference:.1e}", f"{row.psnr:.3f}", f"{drop:.4f}", times)
        lines.append((row.file, f"{row.bytes / 1e6:.2f} MB", *figures))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
    print(f"written to {job.output}, with a .json card beside each")


if __name__ == "__main__":
    run_script(main, __doc__)
