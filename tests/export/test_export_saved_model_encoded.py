"""The signature `encoded` in TensorFlow's C++ loader: pixels, files of all kinds, refusals."""

import numpy as np
import pytest
import serving_case as case
from tiny_run import tiny_model

from export.savedmodel.limits import Limits
from export.savedmodel.saved_model import write_saved_model
from export.verify.cpp_loader import LoaderError, run_saved_model
from gradnet_tf.images.image_files import read_image, to_float, to_uint8
from gradnet_tf.models import MSKResnet
from gradnet_tf.models.base import build_model

LIMITS = Limits(max_pixels=100_000, max_images=4)


def identity(channels):
    """A network that returns its input exactly."""
    model = build_model(MSKResnet(num_modules=1, num_units=1, filters=8, channels=channels))
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    return model


def run(folder, requests, **options):
    return run_saved_model(folder, requests, signature="encoded", **options)


def denoised(folder, *requests):
    """What the signature makes of the files of each request, decoded, in one list."""
    result = run(folder, [{"image_bytes": case.files(*contents)} for contents in requests])
    found = [outputs["denoised_bytes"] for outputs in result.outputs]
    return [case.decode(data) for data in np.concatenate(found)]


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "1"
    write_saved_model(model, folder, LIMITS)
    return folder


GOOD = case.encode(case.pixels(37, 31))
#: Requests that are refused though the files in them are good, with a part of the message.
BAD_REQUESTS = {
    "no image": (case.files(), "expected 1 to 4 images in a request. Received: 0"),
    "five images": (case.files(*[GOOD] * 5), "expected 1 to 4 images in a request. Received: 5"),
    "a bad one among good ones": (case.files(GOOD, GOOD, b"junk"), "image_bytes[2]: expected"),
    "a row too many": (
        case.files(case.png(100, 1001)),
        "expected 1 to 100000 pixels. Received: 100 x 1001",
    ),
    "an array": (np.zeros((1, 4, 4, 3), np.float32), "to be string but float is provided"),
    "a scalar": (np.array(GOOD, object), ""),
    **{name: (case.files(content), said) for name, (content, said) in case.BAD_FILES.items()},
}


@pytest.fixture(scope="module")
def bad(folder):
    """Every bad request, good ones between, in one process."""
    good = {"image_bytes": case.files(GOOD)}
    requests = [good]
    for values, _ in BAD_REQUESTS.values():
        requests += [{"image_bytes": values}, good]
    return run(folder, requests, keep_going=True)


def test_pixels_depth_and_alpha_are_those_of_the_file(tmp_path):
    """A network that changes nothing shows what decoding and encoding do."""
    write_saved_model(identity(3), tmp_path / "1", LIMITS)
    rgb, grey = case.pixels(37, 31), case.pixels(20, 33, 1)
    contents = {
        "png": case.encode(rgb),
        "jpeg": case.encode(rgb, "JPEG", quality=85),
        "progressive": case.encode(rgb, "JPEG", quality=85, progressive=True),
        "grey png": case.encode(grey),
        "grey jpeg": case.encode(grey, "JPEG"),
        "one bit": case.encode(grey > 100),
    }
    deep = [case.pixels(9, 7, channels, np.uint16, seed=channels) for channels in (1, 3, 4)]
    rgba = case.pixels(9, 7, 4)
    requests = [
        list(contents.values())[:3],
        list(contents.values())[3:],
        [*map(case.encode_16, deep), case.encode(rgba)],
        [case.png(100, 1000)],  # Exactly as many pixels as are allowed.
    ]
    found = denoised(tmp_path / "1", *requests)
    for name, result in zip(contents, found, strict=False):
        (tmp_path / name).write_bytes(contents[name])
        wanted = read_image(tmp_path / name, channels=None).squeeze()
        np.testing.assert_array_equal(result, wanted, err_msg=name)
    wanted = [*deep, rgba, np.zeros((1000, 100), np.uint8)]
    for result, array in zip(found[len(contents) :], wanted, strict=True):
        assert result.dtype == array.dtype
        np.testing.assert_array_equal(result, array)


def test_files_of_several_sizes_are_denoised_as_keras_does(model, folder):
    arrays = [case.pixels(37, 31), case.pixels(1, 1), case.pixels(64, 80, seed=2)]
    found = denoised(folder, map(case.encode, arrays))
    for array, result in zip(arrays, found, strict=True):
        wanted = to_uint8(np.asarray(model(to_float(array)[None]))[0])
        # Halves may be rounded either way.
        assert np.abs(result.astype(int) - wanted).max() <= 1
        assert np.mean(result != wanted) < 0.001
        assert np.mean(result != array) > 0.5, "the network must do something here"


def test_gray_goes_through_a_color_network_replicated_and_averaged(model, folder):
    grey = case.pixels(20, 33, 1)
    (found,) = denoised(folder, [case.encode(grey)])
    images = np.repeat(to_float(grey)[None, ..., None], 3, axis=-1)
    wanted = to_uint8(np.clip(np.asarray(model(images))[0], 0, 1).mean(axis=-1))
    assert found.shape == (20, 33)
    assert np.abs(found.astype(int) - wanted).max() <= 1


def test_color_goes_through_a_gray_network_channel_by_channel(tmp_path):
    grey_model = tiny_model(channels=1)
    write_saved_model(grey_model, tmp_path / "1", LIMITS)
    rgb = case.pixels(20, 33)
    found, grey = denoised(tmp_path / "1", [case.encode(rgb), case.encode(rgb[..., 1])])
    planes = to_float(rgb).transpose(2, 0, 1)[..., None]
    wanted = to_uint8(np.asarray(grey_model(planes))[..., 0].transpose(1, 2, 0))
    assert np.abs(found.astype(int) - wanted).max() <= 1
    np.testing.assert_array_equal(grey, found[..., 1])


def test_bad_requests_answer_invalid_argument_and_the_next_one_is_served(bad):
    for index, (name, (_, message)) in enumerate(BAD_REQUESTS.items()):
        code, said = bad.errors[2 * index + 1]
        assert code == 3, name
        assert message in said, f"{name}: {said}"
    good = [outputs["denoised_bytes"][0] for outputs in bad.outputs[::2]]
    assert len(good) == len(BAD_REQUESTS) + 1 and len(set(good)) == 1


def test_bad_files_are_refused_before_memory_is_spent(bad):
    """30000×30000 pixels would be 2.7 GB as bytes, the packed text 1.6 GB."""
    assert bad.peak_bytes - bad.resident_bytes[0] < 150e6


def test_without_going_on_the_first_error_is_raised(folder):
    with pytest.raises(LoaderError, match="expected a PNG or JPEG file"):
        run(folder, [{"image_bytes": case.files(b"junk")}])


def test_many_mixed_requests_leave_memory_flat(folder):
    """The slow test of the stand-in sends a thousand."""
    sizes = [(37, 31), (64, 48), (20, 90)]
    good = [{"image_bytes": case.files(case.encode(case.pixels(*size)))} for size in sizes]
    wrong = [
        {"image_bytes": case.files(case.BAD_FILES[name][0])}
        for name in ("junk", "a PNG cut short", "a JPEG cut short", "a PNG of 30000x30000")
    ]
    result = run(folder, (good + wrong) * 20, keep_going=True)
    assert len(result.errors) == 80
    resident = np.array(result.resident_bytes) / 1e6
    assert resident[-35:].mean() - resident[35:70].mean() < 10


def test_what_follows_a_jpeg_is_not_counted_as_scans(folder):
    """A phone's short film behind the picture has the two bytes of a marker a hundred times."""
    picture = case.encode(case.pixels(37, 31), "JPEG")
    film = np.random.default_rng(0).integers(0, 256, 10**7, np.uint8).tobytes()
    assert film.count(b"\xff\xda") > 100
    results = run(folder, [{"image_bytes": case.files(data)} for data in (picture, picture + film)])
    first, second = (outputs["denoised_bytes"][0] for outputs in results.outputs)
    assert first == second
