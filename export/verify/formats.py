"""The values of `--formats`, and what the inputs and outputs of their files are called."""

import dataclasses
import re

from gradnet_tf.utils.errors import UserError

SAVED_MODEL = "saved_model"
BFLOAT16 = "saved_model_bfloat16"
#: How the weights and activations of a .tflite file are held.
PRECISIONS = ("float32", "float16", "dynamic", "int8")
#: Inputs and outputs of all formats; names that end in "_bytes" travel as base64 through TF
#: Serving's REST interface.
INPUT, OUTPUT, SIGMA = "images", "denoised", "sigma"
INPUT_BYTES, OUTPUT_BYTES = "image_bytes", "denoised_bytes"
#: What is written where nobody says.
DEFAULT = (SAVED_MODEL, "tflite_float32")
_TFLITE = re.compile(r"tflite_(?P<precision>[a-z0-9]+)(_tile(?P<tile>\d+))?")
#: Smaller tiles are nearly all margin; sides are even, as the blocks that networks work on.
_SMALLEST, _LARGEST = 32, 2048


@dataclasses.dataclass(frozen=True)
class TFLiteFormat:
    """A kind of .tflite file.

    Attributes:
        precision: one of `PRECISIONS`.
        tile: side of the tiles of a file of one size, margins left out; `None`: any size.
    """

    precision: str
    tile: int | None = None

    @property
    def suffix(self) -> str:
        """What the file's name ends with, such as "int8_tile256"."""
        return self.precision if self.tile is None else f"{self.precision}_tile{self.tile}"

    @property
    def name(self) -> str:
        """The value of `--formats`."""
        return f"tflite_{self.suffix}"


def parse_tflite(text: str) -> TFLiteFormat | None:
    """Reads a value of `--formats`, such as "tflite_float32" or "tflite_int8_tile256".

    Returns:
        `None` where it is no TFLite format.

    Raises:
        UserError: a tile of another size than files are made for.
    """
    match = _TFLITE.fullmatch(text)
    if match is None or match["precision"] not in PRECISIONS:
        return None
    tile = None if match["tile"] is None else int(match["tile"])
    if tile is not None and (tile % 4 or not _SMALLEST <= tile <= _LARGEST):
        raise UserError(
            f"--formats: tiles have a side from {_SMALLEST} to {_LARGEST} that 4 divides. "
            f"Received: {text}."
        )
    return TFLiteFormat(match["precision"], tile)
