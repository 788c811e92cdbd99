"""PSNR that others published, which nothing here has run: for rows marked as such."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Published:
    """What a publication says about one method.

    Attributes:
        method: its name.
        source: where the numbers stand.
        psnr: dB by set (`datasets.sets.catalog` names) and σ; in RGB for colour, the noisy input
            not clipped, one model per σ or told σ.
    """

    method: str
    source: str
    psnr: Mapping[str, Mapping[float, float]]


def _levels(*values: float) -> dict[float, float]:
    return dict(zip((15.0, 25.0, 50.0), values, strict=True))


# Kodak24 is left out for BM3D: publications disagree there by half a dB.
LITERATURE = (
    Published(
        "BM3D, in colour CBM3D",
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
