"""Configuration of an export as a frozen dataclass."""

import dataclasses

from gradnet_tf.errors import UserError

FORMATS = ("saved_model", "tflite_float32", "saved_model_bfloat16")
#: Written where nobody says.
DEFAULT_FORMATS = ("saved_model", "tflite_float32")


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """What is exported, and on which images its quality is measured.

    Attributes:
        model: anything `--model` takes that is a Keras model.
        output: folder for the artefacts.
        formats: some of `FORMATS`.
        dataset: set by name for the quality figures.
        data_dir: where that set lies; `None` for the sample photographs.
        max_images: take the first so many images; `None` takes all.
        sigma: noise level of the quality figures, on the 0-255 scale.
        seed: seed of their noise.
        max_pixels: limit of the SavedModel's requests; `None` for what 8 GB of memory allow.
        version: number of the SavedModel's folder, which TF Serving reads as its version.
    """

    model: str = "default"
    output: str = "exported"
    formats: tuple[str, ...] = DEFAULT_FORMATS
    dataset: str = "sample"
    data_dir: str | None = None
    max_images: int | None = None
    sigma: float = 25.0
    seed: int = 0
    max_pixels: int | None = None
    version: int = 1

    def __post_init__(self):
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats:
            raise UserError(
                f"--formats: this version writes {', '.join(FORMATS)}. "
                f"Received: {', '.join(unknown) or 'nothing'}."
            )
        if not 0 <= self.sigma <= 255:
            raise UserError(f"--sigma: expected a number in [0, 255]. Received: {self.sigma}.")
        if self.version < 1:
            raise UserError(f"--version: expected a number from 1 up. Received: {self.version}.")
