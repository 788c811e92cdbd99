"""The JSON card beside an artefact: what it is, what it costs, what it may be used for."""

import hashlib
from pathlib import Path
from typing import Any

from gradnet_tf import weights
from gradnet_tf.utils.files import sha256_of, write_json

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
    """Returns the licence of the weights an artefact holds, as far as it is known."""
    card = weights.read_card(name) if source["kind"] == "weights" else None
    if card is not None and card.get("licence"):
        return card["licence"]
    return f"code {CODE_LICENCE}; the weights follow the terms of the images they were trained on"


def _levels(trained: list[float] | None) -> dict[str, float | None]:
    """Returns the noise levels of the training under the names that all cards have."""
    low, high = trained or (None, None)
    return {"sigma_min": low, "sigma_max": high}


def write_card(
    path: Path,
    *,
    file: str,
    sha256: str,
    format: str,
    denoiser,
    name: str,
    inputs: dict,
    outputs: dict,
    measured: dict[str, Any],
) -> dict[str, Any]:
    """Writes the card and returns it.

    Args:
        path: the card's file.
        file: the artefact, relative to the card.
        sha256: of the file, or of the folder (`sha256_of_folder`).
        format: value of `--formats`.
        denoiser: the Keras denoiser it was made from.
        name: of the weights or the preset.
        inputs: {signature: {name: {"dtype", "shape"}}}; `None` in a shape is any size.
        outputs: the same for the outputs.
        measured: `max_difference`, `quality`, `latency_ms` and what else was measured.
    """
    source = denoiser.source
    card = {
        "name": name,
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
        "licence": licence_of(source, name),
    }
    write_json(path, card)
    return card
