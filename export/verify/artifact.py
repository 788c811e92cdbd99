"""What the artifacts of one export have in common: what each is made from, its figures, its card.

The JSON card beside an artifact says what it is, what it costs and what it may be used for.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.verify import measure
from export.verify.checks import CheckFailed
from export.verify.formats import BFLOAT16, SAVED_MODEL, parse_tflite
from gradnet_tf import weights
from gradnet_tf.denoiser import Denoiser
from gradnet_tf.utils.files import sha256_of, write_json
from gradnet_tf.utils.ownership import read_object, require_replaceable


@dataclasses.dataclass(frozen=True)
class Job:
    """What every artifact of one export needs.

    Attributes:
        denoiser: the Keras denoiser, float32.
        name: of the weights or the preset; artifacts are called by it.
        output: folder for the artifacts.
        quality: maps a denoiser to the mean PSNR in dB on the chosen images.
        psnr_keras: `quality(denoiser)`, measured once.
        dataset: name of those images' set.
        sigma: their noise level, on the 0-255 scale.
        agreement: maps a denoiser to its mean PSNR in dB against `denoiser` on such images.
        int8_network: returns the network of the int8 files; it is made once.
        max_psnr_drop: an artifact that loses more decibels is refused.
        max_pixels: limit of the SavedModel's requests; see `export.savedmodel.limits`.
        version: number of the folder that TF Serving reads.
    """

    denoiser: Denoiser
    name: str
    output: Path
    quality: Callable[[Denoiser], float]
    psnr_keras: float
    dataset: str
    sigma: float
    agreement: Callable[[Denoiser], float]
    int8_network: Callable[[], Any]
    max_psnr_drop: float
    max_pixels: int | None = None
    version: int = 1


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table at the end."""

    file: str
    bytes: int
    max_difference: float
    psnr: float
    drop_db: float
    latency_ms: dict[str, float]


def quality_of(job: Job, denoiser: Denoiser) -> dict:
    """Returns the `quality` of a card: an artifact's PSNR beside Keras'.

    Raises:
        CheckFailed: it loses more than `job.max_psnr_drop`.
    """
    psnr = job.quality(denoiser)
    drop = job.psnr_keras - psnr
    if not drop <= job.max_psnr_drop:  # so that NaN fails too
        raise CheckFailed(
            f"{denoiser.name}: loses {drop:.3f} dB on {job.dataset} at sigma {job.sigma:g} "
            f"({psnr:.3f} dB, Keras {job.psnr_keras:.3f} dB); --max_psnr_drop allows "
            f"{job.max_psnr_drop:g}"
        )
    return {
        "dataset": job.dataset,
        "sigma": job.sigma,
        "psnr_keras": job.psnr_keras,
        "psnr": psnr,
        "drop_db": drop,
        "agreement_db": job.agreement(denoiser),
    }


def measurements(size: int, differences: dict, quality: dict, latency: dict) -> dict:
    """Returns what every card has of measurements."""
    return {
        "bytes": size,
        "max_difference": differences,
        "quality": quality,
        "latency_size": list(measure.LATENCY_SIZE),
        "latency_ms": latency,
    }


def row_of(file: str, measured: dict) -> Row:
    """Returns the line of the table at the end."""
    quality = measured["quality"]
    difference = max(measured["max_difference"].values())
    scores = (quality["psnr"], quality["drop_db"])
    return Row(file, measured["bytes"], difference, *scores, measured["latency_ms"])


CODE_LICENCE = "Apache-2.0"


def sha256_of_folder(folder: Path) -> str:
    """Returns the sha256 of a folder's listing: a line "sha256  path" per file, by path.

    `cd FOLDER && find . -type f | sed 's|^./||' | LC_ALL=C sort | xargs sha256sum | sha256sum`
    prints the same.
    """
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    lines = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


def licence_of(source: dict[str, Any], name: str) -> str:
    """Returns the licence of the weights an artifact holds, as far as it is known."""
    card = weights.read_card(name) if source["kind"] == "weights" else None
    if card is not None and card.get("licence"):
        return card["licence"]
    return f"code {CODE_LICENCE}; the weights follow the terms of the images they were trained on"


def _levels(trained: list[float] | None) -> dict[str, float | None]:
    """Returns the noise levels of the training under the names that all cards have."""
    low, high = trained or (None, None)
    return {"sigma_min": low, "sigma_max": high}


#: Fields by which a card of any version is told from other JSON files.
_CARD = {"file", "sha256", "format", "halo", "licence"}


def places(name: str, format: str, version: int) -> tuple[str, str]:
    """Returns an artifact's file or folder and its card, relative to the output folder."""
    if format in (SAVED_MODEL, BFLOAT16):
        return f"{format}/{version}", f"{format}.json"
    parsed = parse_tflite(format)
    if parsed is None:  # A further format says itself what it is called, and asks again.
        return format, f"{format}.json"
    stem = f"{name}_{parsed.suffix}"
    return f"{stem}.tflite", f"{stem}.json"


def require_own_artifact(output: Path, file: str, card: str) -> None:
    """Raises unless an artifact may be written: its place is free, or has an earlier one of ours.

    A card tells what lies beside it by its sha256, so what somebody has changed is theirs.

    Args:
        output: folder of the artifacts.
        file: the artifact, relative to it.
        card: its card, relative to it.

    Raises:
        UserError: names the artifact or the card that is in the way.
    """
    written = _written(output / card)

    def is_written(path: Path) -> bool:
        found = sha256_of_folder(path) if path.is_dir() else path.is_file() and sha256_of(path)
        return found == written.get(file)

    given = f"--output={output}"
    require_replaceable(output / file, given, is_written)
    require_replaceable(output / card, given, lambda path: bool(written))


def _written(card: Path) -> dict[str, str]:
    """Returns the sha256 of the artifacts that a card has described, by their names."""
    content = read_object(card)
    if not content.keys() >= _CARD:
        return {}
    earlier = content.get("written")
    return {**(earlier if isinstance(earlier, dict) else {}), content["file"]: content["sha256"]}


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
        job: what the artifact was made from.
        path: the card's file.
        file: the artifact, relative to the card.
        sha256: of the file, or of the folder (`sha256_of_folder`).
        format: value of `--formats`.
        inputs: {signature: {name: {"dtype", "shape"}}}; `None` in a shape is any size.
        outputs: the same for the outputs.
        measured: `max_difference`, `quality`, `latency_ms` and what else was measured.
    """
    denoiser, source = job.denoiser, job.denoiser.source
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
        **_levels(source["trained_sigma"]),
        "weights_sha256": source["sha256"],
        "parameters": denoiser.parameters,
        **measured,
        "licence": licence_of(source, job.name),
        # Of all versions, of which the card describes the last: they may be exported again.
        "written": {**_written(path), file: sha256},
    }
    write_json(path, card)
    return card
