r"""Exports the .tflite file of shipped weights, for `gradnet denoise` without TensorFlow.

Example:
  python -m export.weights.litert --model=gradnet_small_color_blind --dataset=cbsd68 --data_dir=DATA
The file has float16 weights and accepts any size; its card states its quality on --dataset.
"""

import dataclasses
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from gradnet_tf import weights  # noqa: E402
from gradnet_tf.utils.command import run_script  # noqa: E402
from gradnet_tf.utils.errors import UserError  # noqa: E402
from gradnet_tf.utils.files import atomic_write, sha256_of, write_json  # noqa: E402
from gradnet_tf.utils.options import CommandLine, Given
from gradnet_tf.utils.ownership import read_object, require_replaceable


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        model: name of shipped weights.
        dataset: images for the quality figures.
        data_dir: folder of the data set, or its parent.
        max_images: use only this many images.
    """

    model: str = "default"
    dataset: str = "sample"
    data_dir: str | None = None
    max_images: int | None = None


COMMAND_LINE = CommandLine(Options)


_FORMAT = "tflite_float16"
#: Fields of the card that depend on the machine and are not shipped.
_LOCAL = ("latency_ms", "latency_size", "run")


def main(given: Given) -> int:
    """Exports and verifies the file and moves it into the package's folder."""
    options = given.make(Options)
    card = weights.find_card(options.model)
    if card is None:
        raise UserError(
            f"--model={options.model}: no such weights. Expected one of {weights.shipped_names()}."
        )
    from datasets.sets.catalog import find_dataset
    from export.export_command import export
    from export.export_config import ExportConfig

    images = find_dataset(
        options.dataset, options.data_dir, max_images=options.max_images, channels=card["channels"]
    )
    folder = weights.FOLDER / "litert"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as output:
        config = ExportConfig(model=card["name"], output=output, formats=(_FORMAT,))
        code = export(config, images)
        if code:
            return code
        (source,) = Path(output).glob("*.tflite")
        found = json.loads(source.with_suffix(".json").read_text("utf-8"))
        name = f"{card['name']}.tflite"
        kept = {key: value for key, value in found.items() if key not in _LOCAL}
        for path in (folder / name, folder / f"{card['name']}.json"):
            require_replaceable(path, str(folder), lambda _: _is_own(folder, card["name"]))
        atomic_write(folder / name, source.read_bytes())
        write_json(folder / f"{card['name']}.json", {**kept, "file": name})
    print(f"{folder / name}: {found['bytes'] / 1e6:.2f} MB, {found['quality']}")
    return 0


def _is_own(folder: Path, name: str) -> bool:
    card, path = read_object(folder / f"{name}.json"), folder / f"{name}.tflite"
    return path.is_file() and card.get("sha256") == sha256_of(path)


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
