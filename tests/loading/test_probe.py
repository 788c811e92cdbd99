"""The probe: of the readings of a published file, the one under which its network denoises.

The networks are made by hand, so that it is known what each of them computes.
"""

import subprocess
import sys

import numpy as np
import pytest
from published_files import write_mat, write_zip
from published_tensors import chain_tensors

from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.loading import probe as probe_module
from gradnet_tf.loading.published_networks import IRCNN_DILATIONS, read_published
from gradnet_tf.utils.errors import UserError

SIGMA = 25
PICTURE = probe_module._picture()


def noisy_picture(channels):
    picture = PICTURE if channels == 3 else PICTURE.mean(axis=-1, keepdims=True)
    noise = np.random.default_rng(5).normal(0, SIGMA / 255, picture.shape)
    return picture, (picture + noise).astype(np.float32)[None]


def psnr(image, clean):
    return -10 * np.log10(np.mean((image - clean) ** 2))


def gain(denoiser, channels, **more):
    clean, noisy = noisy_picture(channels)
    return psnr(denoiser.denoise(noisy, **more)[0], clean) - psnr(np.clip(noisy[0], 0, 1), clean)


def wiener(samples, sigma=SIGMA):
    """The best linear estimate of samples (N, C) with white noise: matrix and constant."""
    mean, covariance = samples.mean(axis=0), np.cov(samples.T).reshape(samples.shape[1], -1)
    matrix = covariance @ np.linalg.inv(covariance + (sigma / 255) ** 2 * np.eye(len(mean)))
    return matrix, mean - matrix @ mean


def linear_chain(prefix, matrix, constant, extra=0):
    """A chain of two layers that computes `matrix·x + constant` of each position's channels.

    ReLU does not touch it, because 4 is added before and subtracted after it.
    """
    count = len(matrix)
    first = np.zeros((count, count + extra, 3, 3), np.float32)
    first[:, :count, 1, 1] = np.eye(count)
    last = np.zeros((count, count, 3, 3), np.float32)
    last[:, :, 1, 1] = matrix
    bias = constant - 4 * matrix.sum(axis=1)
    return {
        f"{prefix}.0.weight": first,
        f"{prefix}.0.bias": np.full(count, 4, np.float32),
        f"{prefix}.2.weight": last,
        f"{prefix}.2.bias": bias.astype(np.float32),
    }


def colors_of(channels):
    picture, _ = noisy_picture(channels)
    return picture.reshape(-1, channels)


@pytest.mark.parametrize("predicts", ["image", "noise"])
@pytest.mark.parametrize("bgr", [False, True])
def test_order_of_colors_and_what_a_chain_predicts(tmp_path, capsys, predicts, bgr):
    matrix, constant = wiener(colors_of(3)[:, ::-1] if bgr else colors_of(3))
    if predicts == "noise":
        matrix, constant = np.eye(3) - matrix, -constant
    path = write_zip(tmp_path / "net_25.pth", linear_chain("body", matrix, constant))
    denoiser = load_denoiser(str(path))
    assert gain(denoiser, 3) > 1.5
    usual = predicts == "noise" and not bgr
    noted = capsys.readouterr().err
    assert ("note: net_25.pth" in noted) != usual
    words = f"{'BGR' if bgr else 'RGB'}, its last layer predicts the {predicts}"
    assert words in denoiser.source["reading"] and (usual or words in noted)


@pytest.mark.parametrize("predicts", ["image", "noise"])
@pytest.mark.parametrize("level_first", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_dncnn_with_a_map_of_the_noise_level(tmp_path, predicts, level_first, channels):
    matrix, constant = wiener(colors_of(channels))
    if predicts == "noise":
        matrix, constant = np.eye(channels) - matrix, -constant
    tensors = linear_chain("model", matrix, constant, extra=1)
    if level_first:
        tensors["model.0.weight"] = np.roll(tensors["model.0.weight"], 1, axis=1)
    denoiser = load_denoiser(str(write_zip(tmp_path / "a.pth", tensors)))
    assert denoiser.source["network"].startswith("FDnCNN") and denoiser.needs_sigma
    assert gain(denoiser, channels, sigma=SIGMA) > 0.5
    assert f"predicts the {predicts}" in denoiser.source["reading"]


def blocks_of(channels, by_columns):
    """The 2×2 blocks of the picture, as samples with channels color·4 + pixel."""
    picture, _ = noisy_picture(channels)
    pixels = [picture[row::2, column::2] for row in (0, 1) for column in (0, 1)]
    if by_columns:
        pixels[1], pixels[2] = pixels[2], pixels[1]
    return np.stack(pixels, axis=-1).reshape(-1, channels * 4)


@pytest.mark.parametrize("predicts", ["image", "noise"])
@pytest.mark.parametrize("kind", ["mat", "pth"])
def test_ffdnet_that_predicts_the_noise_and_one_that_predicts_the_image(tmp_path, kind, predicts):
    matrix, constant = wiener(blocks_of(1, kind == "mat"))
    if predicts == "noise":
        matrix, constant = np.eye(4) - matrix, -constant
    tensors = linear_chain("model", matrix, constant, extra=1)
    path = tmp_path / f"model_gray.{kind}"
    if kind == "pth":
        write_zip(path, tensors)
    else:
        weights = [
            [tensors[f"model.{n}.weight"].transpose(2, 3, 1, 0), tensors[f"model.{n}.bias"]]
            for n in (0, 2)
        ]
        frame = [("SubP", [], {"scale": 0.5}), ("concat", [], {})]
        layers = [("conv", weights[0], {}), ("relu", [], {}), ("conv", weights[1], {})]
        write_mat(path, [*frame, *layers, ("SubP", [], {"scale": 2})])
    denoiser = load_denoiser(str(path))
    assert gain(denoiser, 1, sigma=SIGMA) > 3
    assert f"predicts the {predicts}" in denoiser.source["reading"]


def ircnn_tensors(dilated):
    """Layers that move the picture so that only the right dilations bring it back.

    Behind them the noise is a pixel minus the mean of three.
    """
    channels = [1, *[64] * 6, 1]
    steps = [1, -1, 0, 0, 0, 0, 1] if dilated else [1, -1, 0, 0, 0, 0, 0]
    tensors = {}
    for number, step in enumerate(steps):
        kernel = np.zeros((channels[number + 1], channels[number], 3, 3), np.float32)
        kernel[0, 0, 1, 1 + step] = 1
        if number == 6:
            kernel[0, 0, :, 1 + step] -= np.float32(1 / 3)
        tensors[f"model.{2 * number}.weight"] = kernel
        tensors[f"model.{2 * number}.bias"] = np.zeros(channels[number + 1], np.float32)
    return tensors


@pytest.mark.parametrize("dilated", [True, False])
def test_ircnn_has_the_shapes_of_a_dncnn(tmp_path, dilated):
    path = write_zip(tmp_path / "a.pth", ircnn_tensors(dilated))
    denoiser = load_denoiser(str(path))
    assert denoiser.source["network"].split(",")[0] == ("IRCNN" if dilated else "DnCNN")
    assert denoiser.model.dilations == (IRCNN_DILATIONS if dilated else (1,) * 7)
    assert gain(denoiser, 1) > 2
    assert denoiser.model.receptive_radius == (16 if dilated else 7)


def test_ircnn_of_matconvnet_states_its_dilations(tmp_path):
    tensors, layers = ircnn_tensors(True), []
    for number, dilation in enumerate(IRCNN_DILATIONS):
        kernel = tensors[f"model.{2 * number}.weight"].transpose(2, 3, 1, 0)
        bias = tensors[f"model.{2 * number}.bias"]
        numbers = {"pad": dilation, "dilate": dilation}
        layers += [("conv", [kernel, bias], numbers), ("relu", [], {})]
    denoiser = load_denoiser(str(write_mat(tmp_path / "a.mat", layers[:-1])))
    assert denoiser.model.dilations == IRCNN_DILATIONS and gain(denoiser, 1) > 2


def test_a_network_that_denoises_in_no_reading_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.pth", chain_tensors("model", 3, 6, 3))
    with pytest.raises(UserError, match="denoises in none of 4 readings .*BGR.*image or the noise"):
        load_denoiser(str(path))
    with pytest.raises(UserError, match="IRCNN"):
        load_denoiser(str(write_zip(path, chain_tensors("model", 1, 6, 1, layers=7))))
    tensors = chain_tensors("model", 1, 6, 1)
    tensors["model.0.weight"] *= 1e30  # Overflows to NaN in every reading.
    tensors["model.2.weight"] *= 1e30
    with pytest.raises(UserError, match="denoises in none"):
        load_denoiser(str(write_zip(path, tensors)))


def test_a_network_that_changes_nothing_is_noted(tmp_path):
    """In a process of its own: native messages of its standard error are captured meanwhile."""
    zero = {name: 0 * value for name, value in chain_tensors("model", 1, 6, 1).items()}
    path = write_zip(tmp_path / "a.pth", zero)
    code = "import sys; from gradnet_tf.denoiser import load_denoiser; load_denoiser(sys.argv[1])"
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr.startswith("note: a.pth hardly denoises white noise: +0.0"), done.stderr


def test_own_weights_are_not_probed(monkeypatch):
    monkeypatch.setattr(probe_module, "probe", None)
    load_denoiser("gradnet_tiny", runtime="keras")


def test_a_level_in_the_files_name_is_tried(tmp_path):
    assert probe_module._levels("dncnn_sigma2_color") == [2, 5, 15, 25, 50]
    assert probe_module._levels("net_v1.2_sigma999") == [5, 15, 25, 50]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_reading_holds_in_half_precision(tmp_path, precision):
    matrix, constant = wiener(colors_of(3))
    path = write_zip(tmp_path / "a.pth", linear_chain("body", matrix, constant))
    denoiser = load_denoiser(str(path), precision)
    assert denoiser.model.predicts == "image" and gain(denoiser, 3) > 1.2


def test_a_network_in_another_reading_survives_a_keras_file(tmp_path):
    path = write_zip(tmp_path / "a.pth", ircnn_tensors(True))
    network = read_published(path)
    found = probe_module.probe(network)
    found.model.save(tmp_path / "a.keras")
    again = load_denoiser(str(tmp_path / "a.keras"))
    assert again.model.get_config()["dilations"] == list(IRCNN_DILATIONS)
    _, noisy = noisy_picture(1)
    np.testing.assert_array_equal(np.asarray(again.model(noisy)), np.asarray(found.model(noisy)))
