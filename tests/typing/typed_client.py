"""A program that uses the library, as `mypy --strict` sees it; never run."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from datasets.sets.catalog import find_dataset
from export.export_command import export
from export.export_config import ExportConfig
from gradnet_tf import (
    PRESETS,
    PSNR,
    Denoiser,
    DnCNN,
    GradNet,
    GradNetLoss,
    TileConfig,
    build_model,
    load_denoiser,
    read_photo,
    write_photo,
)
from gradnet_tf.denoiser import Strength
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate
from gradnet_tf.images.photo import Photo
from gradnet_tf.utils.errors import UserError


def denoise_photo(denoiser: Denoiser, source: Path, target: Path) -> tuple[int, int]:
    """Denoises one file; returns its height and width."""
    photo: Photo = read_photo(source, max_megapixels=50.0)
    pixels = denoiser(photo.pixels, strength=0.8, chroma=0.5, tiles=TileConfig(256))
    write_photo(target, photo.with_pixels(pixels), quality=95)
    height, width = pixels.shape[:2]
    return height, width


def denoise_batch(images: npt.NDArray[np.float32], sigma: float | None) -> npt.NDArray[np.float32]:
    """Denoises a batch, its attention averaged over all of each picture."""
    denoiser = load_denoiser("gradnet_tiny", runtime="litert")
    whole = TileConfig("auto", max_memory=2_000_000_000, pooling="whole")
    return denoiser.denoise(images, sigma, whole).astype(np.float32)


def describe(denoiser: Denoiser) -> str:
    """Returns one line."""
    channels: int | None = denoiser.channels
    parameters: int | None = denoiser.parameters
    return f"{denoiser.name} {denoiser.runtime} {channels} {parameters} {denoiser.needs_sigma}"


def train() -> GradNet:
    """Builds networks and what `compile` takes."""
    small: GradNet = GradNet.from_preset("gradnet_small", load_weights=False)
    other = GradNet(DnCNN(num_layers=5, filters=16), filters=16, num_modules=1)
    margins = [network.receptive_radius or 0 for network in (small, other)]
    model = build_model("gradnet_tiny", channels=1, precision="mixed_bfloat16")
    model.compile(loss=GradNetLoss(0.1), metrics=[PSNR()])
    print(sum(margins), model.bytes_per_pixel, list(PRESETS), Strength(0.5).is_nothing())
    return small


def score(denoiser: Denoiser) -> float:
    """Evaluates on the sample photographs."""
    images = find_dataset("sample", max_images=1)
    config = EvaluateConfig(dataset="sample", sigma=25.0)
    rows: list[dict[str, float]] = evaluate(denoiser, images, config)["images"]
    return sum(row["psnr"] for row in rows) / len(rows)


def pass_on(model: GradNet, folder: Path) -> int:
    """Writes what others load: a preset, Keras' SavedModel, a verified .tflite file."""
    model.save_to_preset(folder / "preset")
    same: GradNet = GradNet.from_preset(str(folder / "preset"), precision="float32")
    same.export(folder / "saved_model", format="tf_saved_model", verbose=False)
    options = ExportConfig(model="gradnet_tiny", output=str(folder), formats=("tflite_float16",))
    return export(options, find_dataset("sample"))


def main() -> None:
    """Denoises a.png."""
    try:
        print(denoise_photo(Denoiser(runtime="auto"), Path("a.png"), Path("b.png")))
    except UserError as error:
        print(error)
