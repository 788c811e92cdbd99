"""What the artefacts of one export have in common: what they are made from and judged by."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export import card
from export.verify import measure
from export.verify.checks import CheckFailed
from gradnet_tf.denoiser import Denoiser


@dataclasses.dataclass(frozen=True)
class Job:
    """What every artefact of one export needs.

    Attributes:
        denoiser: the Keras denoiser, float32.
        name: of the weights or the preset; artefacts are called by it.
        output: folder for the artefacts.
        quality: maps a denoiser to the mean PSNR in dB on the chosen images.
        psnr_keras: `quality(denoiser)`, measured once.
        dataset: name of those images' set.
        sigma: their noise level, on the 0-255 scale.
        agreement: maps a denoiser to its mean PSNR in dB against `denoiser` on such images.
        int8_network: returns the network of the int8 files; it is made once.
        max_psnr_drop: an artefact that loses more decibels is refused.
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
    """Returns the `quality` of a card: an artefact's PSNR beside Keras'.

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


def write_card(job, path, file, sha256, format, inputs, outputs, measured) -> None:
    """Writes the card of an artefact to `path`; see `export.card.write_card`."""
    card.write_card(
        path,
        file=file,
        sha256=sha256,
        format=format,
        denoiser=job.denoiser,
        name=job.name,
        inputs=inputs,
        outputs=outputs,
        measured=measured,
    )


def row_of(file: str, measured: dict) -> Row:
    """Returns the line of the table at the end."""
    quality = measured["quality"]
    difference = max(measured["max_difference"].values())
    scores = (quality["psnr"], quality["drop_db"])
    return Row(file, measured["bytes"], difference, *scores, measured["latency_ms"])
