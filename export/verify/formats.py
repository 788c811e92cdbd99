"""The values of `--formats`, and the names of the inputs and outputs of the files."""

import dataclasses
import re

from gradnet_tf.utils.errors import UserError

SAVED_MODEL = "saved_model"
BFLOAT16 = "saved_model_bfloat16"
#: Storage of the weights and activations of .tflite files.
PRECISIONS = ("float32", "float16", "dynamic", "int8")
#: Inputs and outputs of all formats; TF Serving's REST interface encodes names that end in
#: "_bytes" as base64.
INPUT, OUTPUT = "images", "denoised"
INPUT_BYTES, OUTPUT_BYTES = "image_bytes", "denoised_bytes"
#: Versions of SavedModels are int64 in TF Serving's interfaces.
MOST_VERSION = 2**63 - 1
#: The default of `--formats`.
DEFAULT = (SAVED_MODEL, "tflite_float32")
_TFLITE = re.compile(r"tflite_(?P<precision>[a-z0-9]+)(_tile(?P<tile>\d+))?")
#: Limits of the tile's side; smaller tiles would be mostly margin.
_SMALLEST, _LARGEST = 32, 2048


@dataclasses.dataclass(frozen=True)
class TFLiteFormat:
    """A kind of .tflite file.

    Attributes:
        precision: one of `PRECISIONS`.
        tile: side of the tiles without margins, for files of fixed size; `None`: any size.
    """

    precision: str
    tile: int | None = None

    @property
    def suffix(self) -> str:
        """The suffix of the file's name, such as "int8_tile256"."""
        return self.precision if self.tile is None else f"{self.precision}_tile{self.tile}"

    @property
    def name(self) -> str:
        """The value of `--formats`."""
        return f"tflite_{self.suffix}"


def parse_tflite(text: str) -> TFLiteFormat | None:
    """Parses a value of `--formats`, such as "tflite_int8_tile256"; `None` if it is not TFLite.

    Raises:
        UserError: a tile of unsupported size.
    """
    match = _TFLITE.fullmatch(text)
    if match is None or match["precision"] not in PRECISIONS:
        return None
    tile = None if match["tile"] is None else int(match["tile"])
    if tile is not None and (tile % 4 or not _SMALLEST <= tile <= _LARGEST):
        raise UserError(
            f"--formats: tiles have a side from {_SMALLEST} to {_LARGEST}, a multiple of 4. "
            f"Received: {text}."
        )
    return TFLiteFormat(match["precision"], tile)
