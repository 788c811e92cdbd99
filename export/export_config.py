"""Configuration of an export as a frozen dataclass."""

import dataclasses

from export.verify.formats import (
    BFLOAT16,
    DEFAULT,
    MOST_VERSION,
    PRECISIONS,
    SAVED_MODEL,
    parse_tflite,
)
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import option

FORMATS = (
    SAVED_MODEL,
    BFLOAT16,
    *(f"tflite_{precision}{tile}" for tile in ("", "_tile256") for precision in PRECISIONS),
)


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """What to export, and the images to measure its quality on.

    Each field is a flag of `python -m export`.

    Attributes:
        output: folder for the artifacts.
        model: a name of shipped weights, the folder of a run or a .keras file.
        formats: formats to write, as a,b; the number after "tile" may be changed.
        dataset: set of images for the quality figures.
        data_dir: folder of the data set, or its parent.
        max_images: use only this many images of the set.
        sigma: noise level of the quality figures, on the 0-255 scale; sets with real noise are
            measured with that.
        seed: seed of their noise.
        calibration: set whose training images determine the ranges of int8 files.
        int8_naive: the naive denoiser has 8 bits in int8 files, too. In float it is slower; some
            networks need it exact, to see where a dark picture is flat.
        max_psnr_drop: reject artifacts that lose more decibels than this on those images.
        max_pixels: largest number of pixels in a request to the SavedModel (default: what fits
            into 8 GB of memory).
        version: number of the SavedModel's folder, which is its version for TF Serving.
    """

    output: str
    model: str = "default"
    formats: tuple[str, ...] = option(DEFAULT, names=FORMATS)
    dataset: str = "sample"
    data_dir: str | None = None
    max_images: int | None = None
    sigma: float = 25.0
    seed: int = 0
    calibration: str = "sample"
    int8_naive: bool = True
    max_psnr_drop: float = 0.2
    max_pixels: int | None = None
    version: int = 1

    def __post_init__(self):
        known = {name for name in self.formats if name in FORMATS or parse_tflite(name)}
        unknown = [name for name in self.formats if name not in known]
        if unknown or not self.formats:
            raise UserError(
                f"--formats: this version writes {', '.join(FORMATS)}. "
                f"Received: {', '.join(unknown) or 'nothing'}."
            )
        if not 0 <= self.sigma <= 255:
            raise UserError(f"--sigma: expected a number in [0, 255]. Received: {self.sigma}.")
        if not self.max_psnr_drop >= 0:
            raise UserError(
                "--max_psnr_drop: expected a number of decibels from 0. "
                f"Received: {self.max_psnr_drop}."
            )
        if not 1 <= self.version <= MOST_VERSION:
            raise UserError(
                f"--version: expected a number from 1 to {MOST_VERSION}. Received: {self.version}."
            )
