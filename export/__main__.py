"""Exports a denoiser as SavedModel and TFLite files, each compared with Keras before it counts.

Example:
  python -m export --model=gradnet_tiny --output=exported --formats=saved_model,tflite_float32
The quality in the cards is measured on the sample photographs, or on --dataset in --data_dir.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import flags  # noqa: E402

from datasets.facts.all_facts import FACTS  # noqa: E402
from export.export_config import FORMATS, ExportConfig  # noqa: E402
from export.formats import DEFAULT  # noqa: E402
from gradnet_tf.utils.command import run_script  # noqa: E402
from gradnet_tf.utils.errors import UserError  # noqa: E402

FLAGS = flags.FLAGS

flags.DEFINE_string("model", "default", "weights' name, run folder or .keras file")
flags.DEFINE_string("output", None, "folder for the artefacts")
flags.DEFINE_list("formats", list(DEFAULT), "some of " + ", ".join(FORMATS))
flags.DEFINE_string("dataset", "sample", "images for the quality figures: " + ", ".join(FACTS))
flags.DEFINE_string("data_dir", None, "folder that holds the data set, or the set's parent")
flags.DEFINE_integer("max_images", None, "take the first so many images")
flags.DEFINE_float("sigma", 25.0, "noise level of the quality figures, on the 0-255 scale")
flags.DEFINE_integer("seed", 0, "seed of their noise")
flags.DEFINE_string(
    "calibration", "sample", "set whose training images the ranges of int8 files are chosen on"
)
flags.DEFINE_float(
    "max_psnr_drop", 0.2, "refuse what loses more decibels on those images", lower_bound=0.0
)
flags.DEFINE_integer("max_pixels", None, "most pixels of a request to the SavedModel")
flags.DEFINE_integer("version", 1, "number of the SavedModel's folder")
flags.mark_flag_as_required("output")


def main() -> int:
    """Loads, exports format by format, prints the table."""
    values = {name: FLAGS[name].value for name in ExportConfig.__dataclass_fields__}
    config = ExportConfig(**{**values, "formats": tuple(FLAGS.formats)})
    output = Path(config.output)
    if output.exists() and not output.is_dir():
        raise UserError(f"--output={output}: expected a folder. Received: a file.")
    from datasets.resolve import find_dataset, find_training_sets
    from export.export_command import export

    images = find_dataset(config.dataset, config.data_dir, max_images=config.max_images)

    def calibration_images(channels: int | None = None):
        return find_training_sets(config.calibration, config.data_dir, channels)[0]

    if any("int8" in name for name in config.formats):
        calibration_images()  # a missing set is said before the first format is written

    return export(config, images, calibration_images)


if __name__ == "__main__":
    run_script(main, __doc__)
