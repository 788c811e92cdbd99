"""Networks that are told the noise level: given, or estimated from the picture."""

import cv2
import keras
import numpy as np
import pytest
from evaluation_case import Images, photographs

from export.export_config import ExportConfig
from gradnet_tf.cli import main as cli
from gradnet_tf.degradations import add_gaussian_noise
from gradnet_tf.degradations.noise_level import estimate_sigma, untrained_note
from gradnet_tf.denoiser import Denoiser, load_denoiser
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate
from gradnet_tf.models import FFDNet, GradNet
from gradnet_tf.models.base import build_model
from gradnet_tf.runtimes.keras_runtime import KerasRunner
from gradnet_tf.utils.errors import UserError

RNG = np.random.default_rng(11)
PICTURE = photographs(1, 160, 200)["a.png"].astype(np.float32) / 255


class Teller(keras.Model):
    """Returns a picture of the noise level it is told, σ/255 everywhere."""

    needs_sigma = True

    def __init__(self, channels=3):
        super().__init__()
        self.channels = channels

    def call(self, images, sigma=None):
        return images * 0 + keras.ops.reshape(sigma, (-1, 1, 1, 1)) / 255


def teller(channels=3):
    model = Teller(channels)
    model.built = True
    return Denoiser(KerasRunner(model), "teller")


def told(denoised):
    return np.asarray(denoised).mean(axis=(1, 2, 3)) * 255


@pytest.mark.parametrize("sigma", [0, 2, 5, 15, 25, 50, 75])
@pytest.mark.parametrize("channels", [1, 3])
def test_known_noise_is_found(sigma, channels):
    clean = PICTURE[..., :channels]
    noisy = add_gaussian_noise(clean, RNG.standard_normal(clean.shape), sigma)
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.03, abs=0.3)


def test_edges_are_passed_over():
    clean = np.zeros((128, 128, 1), np.float32)
    clean[::16, ::16] = 1  # one block in 64 holds an edge
    assert estimate_sigma(clean) == 0
    noisy = add_gaussian_noise(clean, RNG.standard_normal(clean.shape), 20)
    assert estimate_sigma(noisy) == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
def test_less_than_a_block_tells_nothing(size):
    assert estimate_sigma(RNG.random((*size, 3))) == 0


def test_real_photographs(data_dir):
    folder = data_dir / "cbsd68"
    paths = sorted(folder.rglob("*.png"))[:8]
    assert paths
    for sigma in (15, 50):
        found = []
        for path in paths:
            clean = cv2.imread(str(path)).astype(np.float32) / 255
            noisy = add_gaussian_noise(clean, RNG.standard_normal(clean.shape), sigma)
            found.append(estimate_sigma(noisy))
        assert np.mean(found) == pytest.approx(sigma, rel=0.1)


def test_a_given_level_reaches_the_network_for_all_images_or_each(capsys):
    images = np.zeros((3, 4, 4, 3), np.float32)
    denoiser = teller()
    assert denoiser.needs_sigma
    np.testing.assert_allclose(told(denoiser.denoise(images, 25.0)), [25, 25, 25], rtol=1e-5)
    levels = np.array([10, 20, 30])
    np.testing.assert_allclose(told(denoiser.denoise(images, levels)), levels, rtol=1e-5)
    assert capsys.readouterr().err == ""
    for wrong in (-1, 256, float("nan"), [1, 2]):
        with pytest.raises(UserError, match="sigma: expected a number in"):
            denoiser.denoise(images, wrong)


def test_a_level_that_is_not_given_is_estimated_and_printed_once_per_image(capsys):
    noise = RNG.standard_normal((2, *PICTURE.shape)).astype(np.float32)
    noisy = np.stack([PICTURE + noise[0] * 20 / 255, PICTURE + noise[1] * 40 / 255])
    found = told(teller().denoise(noisy.astype(np.float32)))
    np.testing.assert_allclose(found, [20, 40], rtol=0.05)
    notices = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in notices] == ["teller", "teller"]
    assert all("estimated: sigma=" in line for line in notices)
    # A colour picture through a grey network goes channel by channel, and is estimated once.
    picture = np.clip(noisy[0] * 255, 0, 255).astype(np.uint8)
    teller(channels=1)(picture)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_evaluation_tells_its_level_and_estimates_real_noise(capsys):
    images = photographs(2, 64, 64)
    made = evaluate(teller(), Images(images), EvaluateConfig(sigma=30))
    assert capsys.readouterr().err == "" and made["sigma"] == 30
    level = 30 / 255
    expected = -10 * np.log10(np.mean((images["a.png"] / 255 - level) ** 2))
    assert made["images"][0]["psnr"] == pytest.approx(expected, abs=0.01)
    real = evaluate(teller(), Images(images, noisy=images), EvaluateConfig(sigma=None))
    notices = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in notices] == ["a.png", "b.png"]
    assert real["sigma"] is None


def test_gradnet_passes_the_level_on_to_its_naive_denoiser():
    keras.utils.set_random_seed(2)
    naive = build_model(FFDNet(3, 8))
    model = build_model(GradNet(naive, 8, 1, 1))
    denoiser = Denoiser(KerasRunner(model), "guided")
    assert denoiser.needs_sigma
    images = PICTURE[None, :20, :21]
    wanted = np.clip(np.asarray(naive(images, np.float32([30]))), 0, 1)
    np.testing.assert_allclose(denoiser.naive(images, 30), wanted, atol=1e-6)
    whole = np.asarray(model(images, sigma=np.float32([30])))
    np.testing.assert_allclose(denoiser.denoise(images, 30), np.clip(whole, 0, 1), atol=1e-5)


def test_a_picture_has_its_own_level_and_none_beyond_255(ffdnet_file):
    denoiser = Denoiser(str(ffdnet_file))
    batch = np.stack([PICTURE[:20, :21, :1], PICTURE[5:25, :21, :1]])
    found = denoiser(batch, sigma=np.array([10, 25]))
    for one, alone, level in zip(found, batch, (10, 25), strict=True):
        np.testing.assert_array_equal(denoiser(alone, sigma=level), one)
    for wrong in (5000, -1, np.array([1, 2, 3])):
        with pytest.raises(UserError, match="one for each of 2 images"):
            denoiser(batch, sigma=wrong)
    # A multiple of a level in range ends at 255.
    np.testing.assert_array_equal(denoiser(batch, 2.0, sigma=200), denoiser(batch, sigma=255))


@pytest.fixture
def ffdnet_file(tmp_path):
    keras.utils.set_random_seed(3)
    path = tmp_path / "small.keras"
    build_model(FFDNet(3, 8, channels=1)).save(path)
    return path


def test_the_command_takes_a_level_for_networks_that_need_one(ffdnet_file, tmp_path, capsys):
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), (PICTURE[:33, :20, 0] * 255).astype(np.uint8))
    place = str(tmp_path / "out")
    arguments = ["denoise", str(photo), "--overwrite", "--output", place, "--model"]
    assert cli.main([*arguments, str(ffdnet_file), "--sigma", "30"]) == 0
    assert "estimated" not in capsys.readouterr().err
    given = cv2.imread(str(tmp_path / "out" / "photo.png"), cv2.IMREAD_UNCHANGED)
    expected = load_denoiser(str(ffdnet_file))(cv2.imread(str(photo), 0)[..., None], sigma=30)
    np.testing.assert_array_equal(given, expected[..., 0])
    assert cli.main([*arguments, str(ffdnet_file)]) == 0
    assert "small: noise level not given, estimated: sigma=" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*arguments, str(ffdnet_file), "--sigma", "300"])
    assert cli.main([*arguments, "gradnet_tiny", "--sigma", "30"]) == 2
    assert "gradnet_tiny_color_blind takes no noise level" in capsys.readouterr().err


def test_exporting_such_a_network_is_refused_with_the_reason(ffdnet_file, tmp_path):
    from export.export_command import export

    formats = ("tflite_float32", "tflite_int8_tile64")
    config = ExportConfig(model=str(ffdnet_file), output=str(tmp_path / "out"), formats=formats)
    with pytest.raises(UserError, match="8-bit files are for blind networks"):
        export(config, None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("trained", "used", "words"),
    [
        ([25.0, 25.0], (25.0, 25.0), None),
        ([25.0, 25.0], (50.0, 50.0), "net was trained for σ = 25; it is used at σ = 50"),
        ([25.0, 25.0], (0.0, 25.0), "net was trained for σ = 25; it is used at σ = 0 to 25"),
        ([0.0, 55.0], (0.0, 55.0), None),
        ([0.0, 55.0], (55.5, 55.5), "net was trained for σ = 0 to 55; it is used at σ = 55.5"),
        ([10.0, 55.0], (5.0, 5.0), "net was trained for σ = 10 to 55; it is used at σ = 5"),
        (None, (70.0, 70.0), None),
    ],
)
def test_levels_outside_of_the_training_are_noted(trained, used, words):
    assert untrained_note("net", {"trained_sigma": trained}, *used, "it is used at") == words


def test_nothing_is_noted_of_an_unknown_training():
    assert untrained_note("net", None, 25.0, 25.0, "it is used at") is None
