r"""Makes the .tflite file that ships beside weights, for `gradnet denoise` without TensorFlow.

Example:
  python -m export.weights.litert --model=gradnet_small_color_blind --dataset=cbsd68 --data_dir=DATA
The file holds float16 weights and takes any size; the card beside it has its quality on --dataset.
"""

import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import flags  # noqa: E402

from gradnet_tf import weights  # noqa: E402
from gradnet_tf.utils.command import run_script  # noqa: E402
from gradnet_tf.utils.errors import UserError  # noqa: E402
from gradnet_tf.utils.files import atomic_write, write_json  # noqa: E402

FLAGS = flags.FLAGS

flags.DEFINE_string("model", "default", "name of weights that ship")
flags.DEFINE_string("dataset", "sample", "images for the quality figures")
flags.DEFINE_string("data_dir", None, "folder that holds the data set, or the set's parent")
flags.DEFINE_integer("max_images", None, "take the first so many images")

_FORMAT = "tflite_float16"
#: What differs from machine to machine does not ship.
_LOCAL = ("latency_ms", "latency_size", "run")


def main() -> int:
    """Exports, judges and puts the file into the package's folder."""
    card = weights.find_card(FLAGS.model)
    if card is None:
        raise UserError(
            f"--model={FLAGS.model}: no such weights ship. These do: {weights.shipped_names()}."
        )
    from datasets.resolve import find_dataset
    from export.export_command import export
    from export.export_config import ExportConfig

    images = find_dataset(
        FLAGS.dataset, FLAGS.data_dir, max_images=FLAGS.max_images, channels=card["channels"]
    )
    folder = weights.FOLDER / "litert"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as output:
        config = ExportConfig(model=card["name"], output=output, formats=(_FORMAT,))
        code = export(config, images)
        if code:
            return code
        (source,) = Path(output).glob("*.tflite")
        told = json.loads(source.with_suffix(".json").read_text("utf-8"))
        name = f"{card['name']}.tflite"
        kept = {key: value for key, value in told.items() if key not in _LOCAL}
        atomic_write(folder / name, source.read_bytes())
        write_json(folder / f"{card['name']}.json", {**kept, "file": name})
    print(f"{folder / name}: {told['bytes'] / 1e6:.2f} MB, {told['quality']}")
    return 0


if __name__ == "__main__":
    run_script(main, __doc__)
