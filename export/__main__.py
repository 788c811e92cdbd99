"""Exports a denoiser as SavedModel and TFLite files, each of which is verified against Keras.

Example:
  python -m export --model=gradnet_tiny --output=exported --formats=saved_model,tflite_float32
The quality in the cards is measured on the sample photographs, or on --dataset in --data_dir.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


from datasets.sets.catalog import DATASETS  # noqa: E402
from datasets.sets.sample import require_packages  # noqa: E402
from export.export_config import ExportConfig  # noqa: E402
from gradnet_tf.utils.command import run_script  # noqa: E402
from gradnet_tf.utils.errors import UserError  # noqa: E402
from gradnet_tf.utils.options import CommandLine, Given

COMMAND_LINE = CommandLine(ExportConfig, names={"dataset": DATASETS})


def main(given: Given) -> int:
    """Runs the export."""
    config = given.make(ExportConfig)
    output = Path(config.output)
    if output.exists() and not output.is_dir():
        raise UserError(f"--output={output}: expected a folder. Received: a file.")
    require_packages(config.dataset)
    from datasets.sets.catalog import find_calibration_sets, find_dataset
    from export.export_command import export

    images = find_dataset(config.dataset, config.data_dir, max_images=config.max_images)

    def calibration_images(channels: int | None = None):
        return find_calibration_sets(config.calibration, config.data_dir, channels)

    if any("int8" in name for name in config.formats):
        calibration_images()  # reports a missing set before the first format is written

    return export(config, images, calibration_images)


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
