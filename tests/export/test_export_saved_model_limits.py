"""What the array signatures refuse, the noise level as an input, and the limits' defaults."""

import numpy as np
import pytest
import serving_case as case
from tiny_run import tiny_model

from export.savedmodel.limits import MOST_PIXELS, Limits, limits_for
from export.savedmodel.saved_model import write_saved_model
from export.verify import checks
from export.verify.cpp_loader import run_saved_model
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.runtimes.keras_runtime import KerasRunner
from gradnet_tf.utils.errors import UserError

GOOD = np.random.default_rng(1).random((2, 9, 7, 3), np.float32)
SIGMA = np.float32([10, 60])
#: Inputs that change a good request of `serving_default`, and a part of the message.
BAD = {
    "no image": ({"images": GOOD[:0]}, "expected N, H and W of at least 1. Received: [0 9 7 3]"),
    "no rows": ({"images": GOOD[:, :0]}, "at least 1. Received: [2 0 7 3]"),
    "NaN": ({"images": GOOD * np.float32("nan")}, "expected finite values"),
    "8 bits": ({"images": np.uint8(GOOD * 255)}, "to be float but uint8 is provided"),
    "one channel": ({"images": GOOD[..., :1]}, ""),
    "no batch": ({"images": GOOD[0]}, ""),
    "too many pixels": (
        {"images": np.zeros((1, 100, 101, 3), np.float32), "sigma": SIGMA[:1]},
        "expected N*H*W of at most 10000 pixels. Received: [1 100 101 3]",
    ),
    "too many images": (
        {"images": np.zeros((5, 1, 1, 3), np.float32), "sigma": np.zeros(5, np.float32)},
        "expected at most 4 images in a request. Received: 5",
    ),
    "a level too few": ({"sigma": SIGMA[:1]}, "one noise level for each of 2 images. Received: 1"),
    "negative": ({"sigma": -SIGMA}, "expected noise levels in [0, 255]. Received: [-10 -60]"),
    "no number": ({"sigma": SIGMA * np.float32("nan")}, "expected noise levels in [0, 255]"),
    "sigma missing": ({"sigma": None}, "sigma"),
}


@pytest.fixture(scope="module")
def model():
    return case.tiny_ffdnet()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ffdnet") / "1"
    write_saved_model(model, folder, Limits(max_pixels=10_000, max_images=4))
    return folder


@pytest.fixture(scope="module")
def answers(folder):
    """The bad requests, a good one of each signature, and one without sigma for each."""
    levels = np.uint8(np.rint(GOOD * 255))
    good = {
        "serving_default": {"images": GOOD, "sigma": SIGMA},
        "uint8": {"images": levels, "sigma": SIGMA},
        "encoded": {"image_bytes": case.files(*map(case.encode, levels)), "sigma": SIGMA},
    }
    requests, signatures = [], []
    for change, _ in BAD.values():
        request = {**good["serving_default"], **change}
        requests.append({name: value for name, value in request.items() if value is not None})
        signatures.append("serving_default")
    for signature, request in good.items():
        requests += [request, {n: v for n, v in request.items() if n != "sigma"}]
        signatures += [signature] * 2
    return levels, run_saved_model(folder, requests, signature=signatures, keep_going=True)


def test_bad_arrays_answer_invalid_argument(answers):
    _, result = answers
    for index, (name, (_, message)) in enumerate(BAD.items()):
        code, said = result.errors[index]
        assert code == 3, name
        assert message in said, f"{name}: {said}"


def test_each_image_has_its_own_noise_level_in_every_signature(model, answers):
    levels, result = answers
    as_float, as_levels, as_files = result.outputs[len(BAD) :: 2]
    plain = np.clip(np.asarray(model(GOOD, sigma=SIGMA)), 0, 1)
    other = np.clip(np.asarray(model(GOOD, sigma=SIGMA[::-1].copy())), 0, 1)
    assert np.abs(plain - other).max() > 0.05, "the level must matter here"
    assert np.abs(as_float["denoised"] - plain).max() <= 1e-5
    wanted = 255 * np.clip(np.asarray(model(np.float32(levels) / 255, sigma=SIGMA)), 0, 1)
    assert np.abs(as_levels["denoised"] - wanted).max() <= 0.501
    files = np.stack([case.decode(data) for data in as_files["denoised_bytes"]])
    assert np.abs(files - wanted).max() <= 0.501


def test_a_missing_noise_level_is_invalid_in_every_signature(answers):
    _, result = answers
    for index in range(len(BAD) + 1, len(BAD) + 6, 2):
        code, said = result.errors[index]
        assert code == 3 and "sigma" in said


def test_the_python_loader_takes_the_noise_level(model, folder):
    denoiser = load_denoiser(str(folder))
    assert denoiser.needs_sigma
    wanted = np.clip(np.asarray(model(GOOD, sigma=SIGMA)), 0, 1)
    np.testing.assert_allclose(denoiser.denoise(GOOD, sigma=SIGMA), wanted, atol=1e-5)
    with pytest.raises(UserError, match=r"refuses the images: .*at most 10000 pixels"):
        denoiser.denoise(np.random.default_rng(0).random((1, 100, 101, 3), np.float32), sigma=5)


def test_the_check_covers_networks_that_take_a_level(model, tmp_path):
    write_saved_model(model, tmp_path / "1")
    differences = checks.check_saved_model(tmp_path / "1", KerasRunner(model).run, 3, True)
    assert max(differences.values()) <= 1e-5


def test_the_default_limit_goes_by_memory():
    tiny, large = tiny_model(), tiny_model("gradnet")
    assert limits_for(tiny).max_pixels == MOST_PIXELS
    assert 2e6 < limits_for(large).max_pixels < 5e6
    assert limits_for(large, 2**20).max_pixels == 2**20


@pytest.mark.parametrize("pixels", [0, -5, 2**18 - 1, 2**28 + 1])
def test_limits_out_of_range_are_refused(pixels):
    with pytest.raises(UserError, match="--max_pixels: expected a number from 262144 to"):
        limits_for(tiny_model(), pixels)
