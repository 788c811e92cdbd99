r"""Exports the .tflite files of shipped weights, for `gradnet denoise` without TensorFlow.

Example:
  python -m export.weights.litert --model=gradnet_small_color_blind --dataset=cbsd68 --data_dir=DATA
Two files that accept any size: NAME.tflite with float16 weights and float32 arithmetic, and
NAME_int8.tflite with 8-bit arithmetic. Their cards state the quality on --dataset, without noise
and at three levels, on generated drawings, and on a set of real noise for weights that learned it;
that of NAME.tflite also for bfloat16 arithmetic. `--precision=auto` goes by these figures.
"""

import dataclasses
import functools
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from export.weights.shipping import unfinished  # noqa: E402
from gradnet_tf import weights  # noqa: E402
from gradnet_tf.runtimes.choose_runtime import keeps_quality  # noqa: E402
from gradnet_tf.utils.command import run_script  # noqa: E402
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError  # noqa: E402
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
        real_noise: set of noisy photographs for the figures of weights that were trained with a
            camera's noise; all of its test images are used.
        calibration: free photographs whose training images determine the ranges of the 8-bit file.
        int8_naive: as for `python -m export` (default: off for weights for a camera's noise, which
            darken dark pictures otherwise).
        max_psnr_drop: an 8-bit file that loses more decibels is not shipped.
    """

    model: str = "default"
    dataset: str = "sample"
    data_dir: str | None = None
    max_images: int | None = None
    real_noise: str = "renoir"
    calibration: str = "free_photos_cc_by"
    int8_naive: bool | None = None
    max_psnr_drop: float = 0.5


COMMAND_LINE = CommandLine(Options)


_FORMATS = {"tflite_float16": "", "tflite_int8": "_int8"}
#: Noise levels of the cards' figures on the 0-255 scale, and images for each.
_SIGMAS, _IMAGES = (0.0, 15.0, 25.0, 50.0), 24
#: The noise level of drawings and text, which rounding hurts first.
_DRAWINGS_SIGMA = 12.0
#: Fields of the card that depend on the machine and are not shipped.
_LOCAL = ("latency_ms", "latency_size", "run", "model")


def main(given: Given) -> int:
    """Exports and verifies the files and moves them into the package's folder."""
    options = given.make(Options)
    card = weights.find_card(options.model)
    if card is None:
        raise UserError(
            f"--model={options.model}: no such weights. Expected one of {weights.shipped_names()}."
        )
    from datasets.sets.catalog import find_calibration_sets, find_dataset
    from export.export_command import export
    from export.export_config import ExportConfig

    def images_of(count: int | None):
        return find_dataset(
            options.dataset, options.data_dir, max_images=count, channels=card["channels"]
        )

    def calibration_images(channels: int):
        return find_calibration_sets(options.calibration, options.data_dir, channels)

    folder = weights.FOLDER / "litert"
    folder.mkdir(exist_ok=True)
    name = card["name"]
    for path in (folder / f"{name}{suffix}" for suffix in _FORMATS.values()):
        for each in (path.with_name(f"{path.name}.tflite"), path.with_name(f"{path.name}.json")):
            require_replaceable(each, str(folder), functools.partial(_is_own, path))
    with tempfile.TemporaryDirectory() as output:
        config = ExportConfig(
            model=name,
            output=output,
            formats=tuple(_FORMATS),
            int8_naive=not card.get("noise") if options.int8_naive is None else options.int8_naive,
            max_psnr_drop=options.max_psnr_drop,
        )
        export(config, images_of(options.max_images), calibration_images)
        found = {
            format: read_object(Path(output, f"{name}_{format.removeprefix('tflite_')}.json"))
            for format in _FORMATS
        }
        if not found["tflite_float16"]:
            return EXIT_SOME_FAILED
        count = min(options.max_images or _IMAGES, _IMAGES)
        real = card.get("noise") and find_dataset(
            options.real_noise, options.data_dir, channels=card["channels"]
        )
        scores = _scores(name, Path(output), found, images_of(count), real)
        for format, suffix in _FORMATS.items():
            target, told = folder / f"{name}{suffix}.tflite", found[format]
            if not told:  # An older 8-bit file would be of other weights.
                target.unlink(missing_ok=True)
                target.with_suffix(".json").unlink(missing_ok=True)
                continue
            kept = {key: value for key, value in told.items() if key not in _LOCAL}
            kept |= {"file": target.name, "precisions": scores[format]}
            mark = unfinished(folder, target.stem)
            mark.touch()
            atomic_write(target, Path(output, told["file"]).read_bytes())
            write_json(target.with_suffix(".json"), kept)
            mark.unlink()
            print(f"{target}: {told['bytes'] / 1e6:.2f} MB, {told['quality']}")
            for precision, row in scores[format].items():
                use = "auto may choose it" if keeps_quality(row["scores"]) else "only if asked for"
                print(f"  {precision}: {row['scores']}: {use}")
    return EXIT_OK


def _scores(name: str, output: Path, cards: dict, images, real=None) -> dict[str, dict]:
    """Returns the quality of each precision of each format: "dataset", "images", "scores".

    `scores` has {σ: {"psnr": dB, "drop_db": dB lost to float32}}; σ 0 compares clean pictures with
    themselves, "drawings" instead of σ is of drawings with noise, and the name of `real`, if it is
    given, of its noisy photographs.
    """
    from datasets.sets.catalog import find_dataset
    from gradnet_tf.denoiser import load_denoiser
    from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate

    def psnr_of(denoiser, images, sigma: float) -> float:
        rows = evaluate(denoiser, images, EvaluateConfig(dataset=images.name, sigma=sigma))
        # A picture that comes back unchanged has no finite PSNR, `None`.
        found = [row["psnr"] for row in rows["images"]]
        return sum(99.0 if each is None else min(each, 99.0) for each in found) / len(found)

    exact = load_denoiser(name, "float32", runtime="keras")
    rounded = {("tflite_float16", "bfloat16"): load_denoiser(name, "bfloat16", runtime="keras")}
    if cards["tflite_int8"]:
        file = load_denoiser(str(output / cards["tflite_int8"]["file"]))
        rounded["tflite_int8", "int8"] = file
    found: dict[str, dict] = {format: {} for format in _FORMATS}
    facts = {"dataset": images.name, "images": len(images.names)}
    for format, precision in rounded:
        found[format][precision] = {**facts, "scores": {}}
    drawings = find_dataset("drawings", max_images=len(images.names), channels=images.channels)
    measured = [(f"{sigma:g}", images, sigma) for sigma in _SIGMAS]
    measured.append(("drawings", drawings, _DRAWINGS_SIGMA))
    if real:
        measured.append((real.name, real, 0.0))
    for key, pictures, sigma in measured:
        psnr = psnr_of(exact, pictures, sigma)
        for (format, precision), denoiser in rounded.items():
            own = psnr_of(denoiser, pictures, sigma)
            row = {"psnr": round(own, 4), "drop_db": round(psnr - own, 4)}
            found[format][precision]["scores"][key] = row
    return found


def _is_own(stem: Path, _: Path) -> bool:
    told = read_object(stem.with_name(f"{stem.name}.json"))
    path = stem.with_name(f"{stem.name}.tflite")
    if unfinished(stem.parent, stem.name).exists():
        return True
    return path.is_file() and told.get("sha256") == sha256_of(path)


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
