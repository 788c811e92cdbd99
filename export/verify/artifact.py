"""What the artifacts of an export have in common: their source, measurements and cards.

The JSON card beside an artifact describes it: format, quality, latency and licence.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.export_config import ExportConfig
from export.verify import measure
from export.verify.checks import CheckFailed
from export.verify.formats import BFLOAT16, SAVED_MODEL, parse_tflite
from gradnet_tf import weights
from gradnet_tf.denoiser import Denoiser
from gradnet_tf.utils.console import note
from gradnet_tf.utils.files import sha256_of, sha256_of_folder, write_json
from gradnet_tf.utils.ownership import read_object, require_replaceable


@dataclasses.dataclass(frozen=True)
class Job:
    """What every artifact of an export needs.

    Attributes:
        config: the options of the export.
        denoiser: the Keras denoiser, float32.
        name: name of the weights or the preset, and of the artifacts.
        images: set for the quality figures.
        sigma: level of the noise on the images, 0-255 scale; `None` if they have real noise.
        psnr_keras: mean PSNR of `denoiser` on the images, in dB.
        int8_network: returns the network of the int8 files, cached.
        lean_model: returns the network of the other .tflite files, cached: the denoiser's own
            without what adds nothing; see `export.litert.silent_channels`.
    """

    config: ExportConfig
    denoiser: Denoiser
    name: str
    images: Any
    sigma: float | None
    psnr_keras: float
    int8_network: Callable[[], Any]
    lean_model: Callable[[], Any]

    @property
    def measured_on(self) -> str:
        """The images and their noise in words."""
        noise = "real noise" if self.sigma is None else f"sigma {self.sigma:g}"
        return f"{self.images.name}, {noise}"

    @property
    def output(self) -> Path:
        """The folder for the artifacts."""
        return Path(self.config.output)


def quality_of(job: Job, denoiser: Denoiser) -> dict:
    """Returns the `quality` of a card: the PSNR of an artifact and of Keras.

    Raises:
        CheckFailed: it loses more than `--max_psnr_drop`.
    """
    config, images = job.config, job.images
    psnr = measure.mean_psnr(denoiser, images, job.sigma, config.seed)
    drop = job.psnr_keras - psnr
    if not drop <= config.max_psnr_drop:  # NaN fails, too
        raise CheckFailed(
            f"{denoiser.name}: loses {drop:.3f} dB on {job.measured_on} "
            f"({psnr:.3f} dB, Keras {job.psnr_keras:.3f} dB); --max_psnr_drop allows "
            f"{config.max_psnr_drop:g}"
        )
    agreement = measure.mean_agreement(denoiser, job.denoiser, images, job.sigma, config.seed)
    return {
        "dataset": images.name,
        "sigma": job.sigma,
        "psnr_keras": job.psnr_keras,
        "psnr": psnr,
        "drop_db": drop,
        "agreement_db": agreement,
    }


def measurements(size: int, differences: dict, quality: dict, latency: dict) -> dict:
    """Returns the measurements that every card has."""
    return {
        "bytes": size,
        "max_difference": differences,
        "quality": quality,
        "latency_size": list(measure.LATENCY_SIZE),
        "latency_ms": latency,
    }


def licence_of(denoiser: Denoiser, name: str) -> str:
    """Returns the licence of the weights in an artifact, as far as it is known."""
    card = getattr(getattr(denoiser.model, "loaded_from", None), "card", None)
    if denoiser.source["kind"] == "weights":
        card = weights.read_card(name)
    if card is not None and card.get("licence"):
        return card["licence"]
    return "code Apache-2.0; the weights follow the terms of the images they were trained on"


#: Fields that distinguish cards of any version from other JSON files.
_CARD = {"file", "sha256", "format", "halo", "licence"}


def places(name: str, format: str, version: int) -> tuple[str, str]:
    """Returns an artifact's file or folder and its card, relative to the output folder."""
    if format in (SAVED_MODEL, BFLOAT16):
        return f"{format}/{version}", f"{format}.json"
    parsed = parse_tflite(format)
    if parsed is None:  # Another format, which determines its own name and checks it again.
        return format, f"{format}.json"
    stem = f"{name}_{parsed.suffix}"
    return f"{stem}.tflite", f"{stem}.json"


def require_own_artifact(output: Path, file: str, card: str) -> None:
    """Raises if `output`/`file` or `output`/`card` exists and is not an unchanged earlier export.

    Raises:
        UserError: names the artifact or the card that would be overwritten.
    """
    written = _written(output / card)
    announced = read_object(output / card).get(_ANNOUNCED)
    known = [written.get(file), announced.get(file) if isinstance(announced, dict) else None]

    def is_written(path: Path) -> bool:
        found = _sum_of(path)
        return found is not None and found in known

    given = f"--output={output}"
    require_replaceable(output / file, given, is_written)
    require_replaceable(output / card, given, lambda path: bool(written))


#: Of a card: the sha256 by name of an artifact that was about to get its name.
_ANNOUNCED = "announced"


def claim_place(output: Path, file: str, card: str, sha256: str) -> None:
    """Names a finished artifact in its card before it gets its own name.

    If the work ends between this and `write_card`, the next export knows the artifact as its own.

    Args:
        output: folder of both.
        file: the artifact's place in it.
        card: the card's.
        sha256: of the artifact; empty while it is not finished, then nothing is written.

    Raises:
        UserError: as `require_own_artifact`.
    """
    require_own_artifact(output, file, card)
    if not sha256:
        return
    content = read_object(output / card)
    if not content.keys() >= _CARD:
        content = dict.fromkeys(sorted(_CARD)) | {"file": file}
    content["written"] = _written(output / card)
    write_json(output / card, {**content, _ANNOUNCED: {file: sha256}})


def note_other_weights(job: Job, file: str, card: str) -> None:
    """Says that an artifact of other weights is going to be replaced."""
    earlier = read_object(job.output / card)
    before, now = earlier.get("weights_sha256"), job.denoiser.source["sha256"]
    if before and before != now and (job.output / file).exists():
        note(f"{job.output / file}: replaces what was exported from other weights")


def _written(card: Path) -> dict[str, str]:
    """Returns the sha256 by name of all artifacts that a card has described so far."""
    content = read_object(card)
    if not content.keys() >= _CARD:
        return {}
    earlier, announced = content.get("written"), content.get(_ANNOUNCED)
    found = {**(earlier if isinstance(earlier, dict) else {}), content["file"]: content["sha256"]}
    # One that got its name before its export was killed is an artifact like the others.
    for name, sha256 in (announced if isinstance(announced, dict) else {}).items():
        if isinstance(name, str) and _sum_of(card.parent / name) == sha256:
            found[name] = sha256
    return found


def _sum_of(path: Path) -> str | None:
    if path.is_dir():
        return sha256_of_folder(path)
    return sha256_of(path) if path.is_file() else None


def write_card(
    job: Job,
    path: Path,
    file: str,
    sha256: str,
    format: str,
    inputs: dict,
    outputs: dict,
    measured: dict[str, Any],
) -> dict[str, Any]:
    """Writes the card and returns it.

    Args:
        job: the export.
        path: the file of the card.
        file: the artifact, relative to the card.
        sha256: of the file, or of the folder (`sha256_of_folder`).
        format: value of `--formats`.
        inputs: {signature: {name: {"dtype", "shape"}}}; `None` in a shape is any size.
        outputs: the same for the outputs.
        measured: `max_difference`, `quality`, `latency_ms` and further measurements.
    """
    denoiser, source = job.denoiser, job.denoiser.source
    sigma_min, sigma_max = source["trained_sigma"] or (None, None)
    card = {
        "name": job.name,
        "file": file,
        "sha256": sha256,
        "format": format,
        "tile": None,
        "halo": denoiser.model.receptive_radius,
        "inputs": inputs,
        "outputs": outputs,
        "preset": source["preset"],
        "run": source["run"],
        "model": job.config.model,
        "sigma_min": sigma_min,
        "sigma_max": sigma_max,
        "weights_sha256": source["sha256"],
        "parameters": denoiser.parameters,
        **measured,
        "licence": licence_of(denoiser, job.name),
        # Of all exported versions, so that any of them may be overwritten.
        "written": {**_written(path), file: sha256},
    }
    write_json(path, card)
    return card
