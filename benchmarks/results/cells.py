"""Cached scores: one file per model, image set and noise level."""

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gradnet_tf.evaluation.evaluate_set import (
    Denoiser,
    EvaluateConfig,
    ImageSet,
    clean_image,
    evaluate,
)
from gradnet_tf.models.classical import NLM_STRENGTH
from gradnet_tf.training.config import require_sigma
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import write_json
from gradnet_tf.utils.versions import installed_versions


def parse_sigmas(texts: list[str]) -> list[float]:
    """Returns noise levels in ascending order, each once.

    Raises:
        UserError: for an empty list, or a value that is not a number in [0, 255].
    """
    try:
        sigmas = sorted({float(text) for text in texts})
    except ValueError:
        sigmas = []
    if not sigmas:
        raise UserError(f"`sigmas` must be numbers such as 15,25,50. Received: {','.join(texts)}")
    for sigma in sigmas:
        require_sigma("sigmas", sigma)
    return sigmas


_OPTIONS = ("sigma", "seed", "clip_noisy", "precision")
#: Sets that were read, by `id`, with the hash of their content.
_CONTENTS: dict[int, tuple[ImageSet, str]] = {}


def cell_key(denoiser: Denoiser, image_set: ImageSet, config: EvaluateConfig) -> dict[str, Any]:
    """Returns everything that a score depends on: weights, images and options.

    Args:
        denoiser: from `load_denoiser`.
        image_set: the images.
        config: noise and precision.
    """
    return {
        "weights": denoiser.source["sha256"] or _package(denoiser.name),
        "dataset": image_set.name,
        "split": image_set.split,
        "images": len(image_set.names),
        "content": _content(image_set),
        "versions": installed_versions(),
        **{option: getattr(config, option) for option in _OPTIONS},
    }


def _content(image_set: ImageSet) -> str:
    """Returns a hash of the names and pixels of a set, which is read once for it."""
    found = _CONTENTS.get(id(image_set))
    if found:
        return found[1]
    digest = hashlib.sha256()
    for index, name in enumerate(image_set.names):
        digest.update(name.encode("utf-8", "surrogateescape"))
        for image in (clean_image(image_set, index), image_set.noisy(index)):
            if image is not None:
                digest.update(f"{image.dtype} {image.shape}".encode())
                digest.update(np.ascontiguousarray(image))
    # The set is kept, so that no other one gets its id.
    _CONTENTS[id(image_set)] = image_set, digest.hexdigest()[:16]
    return _CONTENTS[id(image_set)][1]


def _package(name: str) -> str | None:
    """Returns the version of a classical denoiser, which takes the place of weights in the key."""
    package = {"bm3d": "bm3d", "opencv_nlm": "opencv-python-headless"}.get(name)
    if package is None:
        return None
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # OpenCV has four distributions
        version = "unknown"
    return f"{name} {version}" + (f" h={NLM_STRENGTH}" if name == "opencv_nlm" else "")


class Cells:
    """The folder of finished cells.

    Args:
        folder: created when the first cell is written.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def path(self, denoiser: Denoiser, key: dict[str, Any]) -> Path:
        """Returns the file of a cell; its name is readable and unique for the key."""
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        name = f"{key['dataset']}_s{key['sigma']:g}_{denoiser.name}_{digest[:10]}.json"
        return self.folder / re.sub(r"[^\w.-]", "-", name)

    def read(self, denoiser, image_set, config) -> dict[str, Any] | None:
        """Returns a cached cell, or `None` if it is missing or its file is damaged.

        Scores of weights whose sha256 is not known are not used again.
        """
        key = cell_key(denoiser, image_set, config)
        if key["weights"] is None:
            return None
        try:
            cell = read_json(self.path(denoiser, key))
        except (OSError, ValueError):
            return None
        return cell if isinstance(cell, dict) and cell.get("key") == key else None

    def score(
        self,
        denoiser: Denoiser,
        image_set: ImageSet,
        config: EvaluateConfig,
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """Returns a cell from the cache, or evaluates and caches it.

        Args:
            denoiser: from `load_denoiser`.
            image_set: the images.
            config: noise and precision.
            progress: called with the row of each scored image.

        Returns:
            What `evaluate` returns, with `key`.
        """
        cell = self.read(denoiser, image_set, config)
        if cell is None:
            key = cell_key(denoiser, image_set, config)
            result = evaluate(denoiser, image_set, config, progress)
            cell = {"key": key, **result}
            write_json(self.path(denoiser, key), cell)
        return cell
