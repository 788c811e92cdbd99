"""Scores a denoiser on a set of images."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gradnet_tf.analysis.noise_analysis import estimate_and_tell
from gradnet_tf.degradations import add_gaussian_noise
from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.noise_level import scored_untrained
from gradnet_tf.degradations.sampling import evaluation_key, evaluation_noise
from gradnet_tf.denoiser import self_ensemble
from gradnet_tf.evaluation.protocol import MAX_PSNR
from gradnet_tf.evaluation.score_journal import Scored, ScoreJournal
from gradnet_tf.evaluation.scores import (
    HAS_NAN,
    Example,
    finite_or_none,
    mean_scores,
    score_example,
    worse_than_input,
)
from gradnet_tf.images.channels import adapt_channels, adaptation
from gradnet_tf.images.image_files import require_one_size, to_float
from gradnet_tf.runtimes.choose_runtime import POLICIES, PRECISIONS, RUNTIMES
from gradnet_tf.tiling.tile_config import AUTO, POOLINGS, TileConfig, parse_tile
from gradnet_tf.training.config import require, require_sigma
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import NotFiniteOutputError, UserError
from gradnet_tf.utils.options import option


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Configures an evaluation; each field is a flag of evaluate.py.

    A `degradation` sets `sigma` to its level, or to `None` unless it is white Gaussian noise of one
    level.

    Attributes:
        dataset: name of the image set.
        split: split of the set (default: depends on the set).
        sigma: noise level, standard deviation on the 0-255 scale; ignored for sets with real
            noise.
        degradation: other noise instead of --sigma, such as 'camera|jpeg(60)'; see
            docs/degradations.md.
        seed: seed of the noise.
        max_images: use only this many images, the first in byte order of their names.
        clip_noisy: clip the noisy input to [0, 1] before the denoiser sees it.
        self_ensemble: average the results of the eight flips and rotations; takes eight times as
            long.
        tile: side of the tiles of large pictures in pixels, auto or whole; does not change the
            result.
        overlap: pixels that tiles share, for .tflite files of one size from elsewhere; not used for
            other models beside these.
        pooling: what the attention averages over: whole (the whole picture), crops (for pictures
            above 160x160 pixels), or auto (whole up to half a megapixel).
        runtime: runtime of the shipped weights, as for `gradnet denoise`: keras (TensorFlow or
            JAX), litert, openvino, compiled, or auto (litert if it is installed and there is no
            GPU).
        precision: of the computation, as for `gradnet denoise`, or a dtype policy of Keras; the
            metrics record what auto chose, and float32 does not depend on the machine.
    """

    dataset: str = "sample"
    split: str | None = None
    sigma: float | None = 25.0
    degradation: str | None = None
    seed: int = 0
    max_images: int | None = None
    clip_noisy: bool = False
    self_ensemble: bool = False
    tile: int | str = option("auto", parse=parse_tile)
    overlap: int | None = option(None, least=0)
    pooling: str = option("auto", choices=POOLINGS)
    runtime: str = option("auto", choices=RUNTIMES)
    precision: str = option("auto", choices=(*PRECISIONS, *POLICIES))

    def __post_init__(self):
        if self.degradation:
            degradation = parse_degradation(self.degradation)
            # One canonical spelling, so that the same noise compares equal.
            object.__setattr__(self, "degradation", str(degradation))
            object.__setattr__(self, "sigma", degradation.sigma)
        if self.sigma is not None:
            require_sigma("sigma", self.sigma)
        require(self.seed >= 0, "seed", self.seed, "at least 0")
        count = self.max_images
        require(count is None or count >= 1, "max_images", count, "at least 1")
        known = (*PRECISIONS, *POLICIES)
        choices = ", ".join(known)
        require(self.precision in known, "precision", self.precision, f"one of {choices}")
        object.__setattr__(self, "tile", parse_tile(str(self.tile)))
        choices = ", ".join(RUNTIMES)
        require(self.runtime in RUNTIMES, "runtime", self.runtime, f"one of {choices}")

    def tiles_of(self, denoiser: "Denoiser") -> TileConfig:
        """Returns the configuration of tiles and pooling for one of the compared denoisers."""
        overlap = self.overlap if takes_overlap(denoiser) else None
        return TileConfig(self.tile, pooling=self.pooling, overlap=overlap)


class Denoiser(Protocol):
    """The part of a denoiser that an evaluation uses; `channels` is `None` if it takes any."""

    name: str

    @property
    def channels(self) -> int | None: ...

    def denoise(self, images: np.ndarray, sigma: float | None = None) -> np.ndarray:
        """Denoises float32 (N, H, W, C) with nominal range [0, 1]; returns the same shape."""

    def naive(self, images: np.ndarray) -> np.ndarray | None:
        """Returns the naive estimate, or `None` if the denoiser has none."""


class ImageSet(Protocol):
    """The part of an image set that an evaluation uses.

    A set without clean images has `has_clean` False and only `noisy`. `info`, which is
    optional, contains its protocol.
    """

    # Properties, because what is only read may be of a narrower type, or frozen.
    @property
    def name(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def channels(self) -> int: ...

    def load(self, index: int) -> np.ndarray:
        """Returns the clean image, uint8 (H, W, C)."""

    def noisy(self, index: int) -> np.ndarray | None:
        """Returns the image with real noise, uint8, if the set has one."""


def takes_overlap(denoiser: Denoiser) -> bool:
    """Whether it is for the caller to say how far the denoiser's tiles overlap."""
    return getattr(denoiser, "takes_overlap", False)


def has_clean(image_set: ImageSet) -> bool:
    """Returns whether a set has clean images to score against."""
    return getattr(image_set, "has_clean", True)


def protocol(image_set: ImageSet) -> dict[str, Any] | None:
    """Returns the `protocol` of metrics.json; `None` for a set without `info`.

    `images` is the number of images that published scores are over, `None` if it varies.
    """
    info = getattr(image_set, "info", None)
    if info is None:
        return None
    fields = dataclasses.asdict(info.protocol_of(image_set.split))
    return {**fields, "images": info.counts.get(image_set.split)}


def clean_image(image_set: ImageSet, index: int) -> np.ndarray:
    """Returns the clean image, float32 (H, W, C) in [0, 1], by `image_set.clean` if it exists."""
    precise = getattr(image_set, "clean", None)
    return precise(index) if precise else to_float(image_set.load(index))


def check_noise(image_set: ImageSet, config: EvaluateConfig) -> None:
    """Raises a `UserError` for a degradation of a set with real noise."""
    if config.degradation and image_set.noisy(0) is not None:
        raise UserError(
            f"dataset {image_set.name} has real noise, so --degradation does not apply. "
            f"Received: --degradation={config.degradation}\n"
            "Remove it, or use a set of clean images."
        )


def noisy_input(
    clean: np.ndarray, real: np.ndarray | None, name: str, config: EvaluateConfig
) -> np.ndarray:
    """Returns the input of the denoiser for one image.

    Args:
        clean: (H, W, C) float32.
        real: the image with real noise, uint8, or `None` to add noise.
        name: file name of the image; its stem is part of the noise's seed.
        config: σ or degradation, seed and `clip_noisy`.

    Returns:
        (H, W, C) float32; may exceed [0, 1] unless `clip_noisy`.
    """
    if real is not None:
        return to_float(real)
    if config.degradation:
        draws = Draws(evaluation_key(config.seed, name))
        noisy = parse_degradation(config.degradation).apply(clean, draws)
    elif config.sigma is None:
        raise UserError(
            f"{name} has no noisy partner, so noise is added: `sigma` must be in [0, 255]. "
            "Received: sigma=None"
        )
    else:
        noise = evaluation_noise(clean.shape, config.seed, name)
        noisy = add_gaussian_noise(clean, noise, config.sigma).astype(np.float32)
    return np.clip(noisy, 0, 1) if config.clip_noisy else noisy


def require_fitting_noise(image_set, sigma: float | None) -> None:
    """Checks that a set has either real noise or a level, never both.

    A score under real noise that is labeled with a level would be a wrong number in a table.

    Raises:
        UserError: names the set.
    """
    if (image_set.noisy(0) is not None) == (sigma is None):
        return
    found = "has real noise" if sigma is not None else "has no noisy images"
    raise UserError(
        f"dataset {image_set.name} {found}. Received: sigma={sigma}.\n"
        "Noise is added to clean images only; photographs with noise are scored as they are."
    )


def run_example(
    denoiser: Denoiser, image_set: ImageSet, index: int, config: EvaluateConfig
) -> Example:
    """Loads image `index`, adds noise and denoises it; only `denoise` is timed."""
    name = image_set.names[index]
    real = image_set.noisy(index)
    if has_clean(image_set):
        clean = clean_image(image_set, index)
        if real is not None:
            require_one_size(name, clean, real)
        noisy = noisy_input(clean, real, name, config)
    else:
        clean, noisy = None, to_float(real)
    sigma = config.sigma if real is None else None
    needs_sigma = getattr(denoiser, "needs_sigma", False)
    # Other denoisers need not support tiles.
    tiles = config.tiles_of(denoiser)
    cut = {} if tiles == AUTO else {"tiles": tiles}
    used = getattr(denoiser, "used", [])
    used.clear()
    start = time.perf_counter()
    if sigma is None and needs_sigma:
        # Estimated before channels are replicated or separated.
        sigma = estimate_and_tell(noisy, name)

    def denoise(adapted):
        try:
            return np.asarray(denoiser.denoise(adapted, sigma, **cut))
        except NotFiniteOutputError:
            # The report counts such images.
            return np.full(adapted.shape, np.nan, np.float32)

    def run(images):
        return adapt_channels(denoise, images, denoiser.channels)

    images = noisy[None]
    denoised = (self_ensemble(run, images) if config.self_ensemble else run(images))[0]
    seconds = time.perf_counter() - start
    through = tuple(used)
    more = {"sigma": sigma} if needs_sigma else {}
    naive = adapt_channels(
        lambda images: denoiser.naive(images, **more), noisy[None], denoiser.channels
    )
    # np.clip keeps NaN, so the scores reveal a broken output.
    naive = None if naive is None else np.clip(naive[0], 0, 1)
    denoised = np.clip(denoised, 0, 1)
    return Example(name, clean, noisy, naive, denoised, seconds, real is not None, through)


def evaluate(
    denoiser: Denoiser,
    image_set: ImageSet,
    config: EvaluateConfig,
    progress: Callable[[dict[str, Any]], None] | None = None,
    on_example: Callable[[Example], Sequence[Path] | None] | None = None,
    journal: ScoreJournal | None = None,
) -> dict[str, Any]:
    """Scores a denoiser on every image of a set, one image at a time.

    PSNR has peak 1.0 and is computed per image, then averaged. `psnr` is that of the float output
    clipped to [0, 1], `psnr_uint8` after rounding to 8 bits, `psnr_noisy` that of the denoiser's
    input, `psnr_naive` that of the clipped naive estimate. Without clean images all are `None`.
    An image that equals the clean one scores `MAX_PSNR`; `exact_outputs` counts such results.
    `used` names the weights, runtime and precision of each image, which differ with `auto`.

    Args:
        denoiser: see `Denoiser`.
        image_set: see `ImageSet`.
        config: see `EvaluateConfig`.
        progress: called with the row of each image.
        on_example: called with the arrays of each image; may return the files it has written.
        journal: keeps the scores, and has those of an evaluation that was not finished.

    Returns:
        The contents of metrics.json; undefined values are `None`. `worse_than_input`
        names the images whose result scores below the noisy input.

    Raises:
        UserError: for an empty set, a set without noisy images if σ is `None`, or as `check_noise`.
    """
    if not len(image_set.names):
        raise UserError(f"The set {image_set.name} ({image_set.split}) has no images.")
    check_noise(image_set, config)
    start = time.perf_counter()
    rows = []
    real_noise = False
    conversions = set()
    for index in range(len(image_set.names)):
        scored = journal.find(image_set, index) if journal else None
        if scored is None:
            example = run_example(denoiser, image_set, index, config)
            channels = example.noisy.shape[-1]
            scored = Scored(score_example(example), example.real_noise, channels)
            files = on_example(example) if on_example else None
            if journal:
                journal.add(image_set, index, scored, files or ())
        if index == 0 and not scored.real_noise and config.sigma is not None:
            note(scored_untrained(denoiser.name, getattr(denoiser, "source", None), config.sigma))
        conversions.add(adaptation(scored.channels, denoiser.channels))
        real_noise = real_noise or scored.real_noise
        rows.append(scored.row)
        if progress:
            progress(rows[-1])
    means = mean_scores(rows)
    source, asked = getattr(denoiser, "source", None) or {}, config.precision
    return {
        "dataset": image_set.name,
        "split": image_set.split,
        "available_images": getattr(image_set, "available", None) or len(image_set.names),
        "has_clean": has_clean(image_set),
        "protocol": protocol(image_set),
        "model": denoiser.name,
        "source": getattr(denoiser, "source", None),
        "parameters": getattr(denoiser, "parameters", None),
        "precision": source.get("precision") or ("float32" if asked == "auto" else asked),
        "sigma": None if real_noise else config.sigma,
        "degradation": config.degradation,
        "seed": config.seed,
        "clip_noisy": config.clip_noisy,
        "self_ensemble": config.self_ensemble,
        "tile": config.tile,
        **({} if (overlap := config.tiles_of(denoiser).overlap) is None else {"overlap": overlap}),
        "pooling": config.pooling,
        "runtime": getattr(denoiser, "runtime", None),
        "conversion": "; ".join(sorted(filter(None, conversions))) or None,
        "seconds": time.perf_counter() - start,
        # The first image includes the compilation.
        "seconds_per_image": float(np.mean([row["seconds"] for row in rows[1:] or rows])),
        "worse_than_input": worse_than_input(rows),
        "exact_outputs": sum(row["psnr"] == MAX_PSNR for row in rows),
        "nan_outputs": sum(row["problem"] == HAS_NAN for row in rows),
        # Their seconds are those of the earlier run.
        **({"resumed_images": journal.reused} if journal and journal.reused else {}),
        "images": [{key: finite_or_none(item) for key, item in row.items()} for row in rows],
        "mean": {key: finite_or_none(value) for key, value in means.items()},
    }
