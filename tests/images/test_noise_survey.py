"""Where a picture has noise, and of what kind, against noise that was added."""

import cv2
import numpy as np
import pytest

from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.degradations.draws import Draws
from gradnet_tf.images import noise_survey
from gradnet_tf.images.noise_survey import survey_noise


def photograph(seed: int = 0, height: int = 150, width: int = 203) -> np.ndarray:
    """Returns a smooth picture with some edges, float (H, W, 3) on the 0-255 scale."""
    draw = np.random.default_rng(seed)
    coarse = draw.uniform(40, 210, (6, 8, 3)).astype(np.float32)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    cv2.circle(picture, (width // 2, height // 2), 30, (200.0, 90.0, 60.0), -1)
    return np.clip(picture, 10, 245)


def noise(shape: tuple[int, ...], sigma: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, shape)


def eight_bits(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def text_page() -> np.ndarray:
    page = np.full((240, 400, 3), 255, np.uint8)
    for line in range(8):
        where = (10, 28 + 26 * line)
        cv2.putText(page, f"line {line} of a page of text", where, 0, 0.7, (0, 0, 0), 1, 16)
    return page


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("color", [0, 255, (12, 200, 90)])
def test_the_box_is_the_photograph_in_a_flat_frame_to_the_pixel(kind, color):
    inner = eight_bits(photograph() + noise((150, 203, 3), 20))
    framed = np.empty((400, 500, 3), np.uint8)
    framed[:] = color
    framed[101:251, 77:280] = inner
    if kind == "uint16":
        framed = framed.astype(np.uint16) * 257
    if kind == "float32":
        framed = framed.astype(np.float32) / 255
    survey = survey_noise(framed)
    assert survey.box == (slice(101, 251), slice(77, 280))
    assert survey.still_share < 0.02 and not survey.noise_free


def test_still_blocks_inside_the_box_are_those_without_noise():
    picture = photograph(height=160, width=200) + noise((160, 200, 3), 15)
    picture[40:96, 80:160] = 255
    survey = survey_noise(eight_bits(picture))
    expected = np.zeros((20, 25), bool)
    expected[5:12, 10:20] = True
    np.testing.assert_array_equal(survey.still, expected)
    assert survey.box == (slice(0, 160), slice(0, 200)) and not survey.noise_free


@pytest.mark.parametrize("sigma", [2, 5, 25, 60])
def test_a_noisy_photograph_is_noisy_everywhere(sigma):
    survey = survey_noise(eight_bits(photograph() + noise((150, 203, 3), sigma)))
    assert not survey.noise_free and survey.still_share == 0 and survey.tone is None


def test_pages_and_flat_pictures_have_nothing_to_remove_and_noisy_pages_have():
    page = text_page()
    assert survey_noise(page).noise_free
    assert survey_noise(page[..., :1]).noise_free
    assert not survey_noise(eight_bits(page + noise(page.shape, 5))).noise_free
    assert survey_noise(np.full((64, 64, 1), 7, np.uint8)).noise_free


@pytest.mark.parametrize("tint", [(1.0, 1.0, 1.0), (1.0, 0.97, 0.92), (1.0, 0.86, 0.68)])
@pytest.mark.parametrize("sigma", [8, 25])
def test_the_tone_of_noise_that_is_alike_in_all_channels(tint, sigma):
    gray = photograph().mean(axis=-1, keepdims=True) + noise((150, 203, 1), sigma)
    tone = survey_noise(eight_bits(gray * np.array(tint))).tone
    np.testing.assert_allclose(tone, np.array(tint) / np.mean(tint), atol=0.02)


@pytest.mark.parametrize("framed", [False, True])
def test_noise_becomes_alike_where_jpeg_stores_color_at_half_size(framed):
    picture = eight_bits(photograph(height=240, width=320) + noise((240, 320, 3), 25))
    if framed:
        picture = np.pad(picture, ((120, 100), (90, 140), (0, 0)), constant_values=255)
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    survey = survey_noise(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    np.testing.assert_allclose(survey.tone, 1, atol=0.05)
    # What is left in color is coarse, and the weights for white noise leave it.
    assert survey.is_strong_camera


@pytest.mark.parametrize("sigma", [10, 25, 40])
def test_gray_noise_has_a_tone_alone_though_cut_off_at_black_and_white_it_has_color(sigma):
    colored = photograph(height=240, width=320) + noise((240, 320, 1), sigma)
    survey = survey_noise(eight_bits(colored))
    assert survey.tone is not None and not survey.is_camera


def test_coarse_color_noise_as_strong_as_brightness_has_no_tone():
    size = (240, 320, 3)
    color = cv2.GaussianBlur(noise(size, 150, 3), (0, 0), 1.5)
    color -= color.mean(-1, keepdims=True)
    gray = cv2.GaussianBlur(noise(size[:2], 30, 4), (0, 0), 0.4)[..., np.newaxis]
    survey = survey_noise(eight_bits(photograph(height=240, width=320) + color + gray))
    assert survey.tone is None and survey.is_strong_camera


def test_grass_is_not_noise_though_it_is_alike_in_all_channels():
    draw = np.random.default_rng(5)
    strength = cv2.resize(draw.uniform(2, 40, (20, 26)).astype(np.float32), (208, 160))
    grass = 120 + strength * draw.normal(0, 1, (160, 208))
    survey = survey_noise(eight_bits(grass[..., None] * np.array([0.9, 1.1, 0.7])))
    assert survey.tone is None and not survey.noise_free


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (15, 15), (16, 16), (17, 33), (1, 16)])
def test_any_size_is_surveyed(size):
    picture = eight_bits(128 + noise((*size, 3), 20))
    survey = survey_noise(picture)
    rows, columns = survey.box
    assert (rows.stop, columns.stop) == size and not survey.noise_free


def test_a_clean_texture_has_no_tone_though_it_is_alike_in_all_channels():
    gray = 128 + noise((150, 203, 1), 1.2)
    picture = np.repeat(gray, 3, axis=-1) * np.array([1.0, 0.9, 0.8])
    assert survey_noise(eight_bits(picture)).tone is None


def camera_noise(text: str, clean: np.ndarray, seed: int) -> np.ndarray:
    stage = parse_degradation(text)
    return stage.apply((clean / 255).astype(np.float32), Draws((seed, 1)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "settings",
    [
        "iso=51200,push=3,bilinear=1,smoothing=0,chroma=0,sharpen=0,size=1,quality=0",
        "iso=51200,push=2,bilinear=0,chroma=1",
        "iso=102400,push=3,smoothing=0.7,reach=1.5,chroma=3,quality=90",
    ],
)
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_noise_through_a_camera_is_a_cameras(settings, kind, seed):
    noisy = camera_noise(f"photograph({settings})", photograph(seed, 240, 320), seed)
    survey = survey_noise(eight_bits(noisy * 255) if kind == "uint8" else noisy)
    assert survey.is_camera and survey.tone is None and not survey.is_drawing


@pytest.mark.parametrize("sigma", [5, 15, 25, 50])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_white_noise_is_no_cameras(sigma, kind):
    for seed in range(4):
        clean = photograph(seed, 240, 320)
        noisy = clean + noise(clean.shape, sigma, seed)
        picture = eight_bits(noisy) if kind == "uint8" else (noisy / 255).astype(np.float32)
        assert not survey_noise(picture).is_camera


def test_only_color_pictures_are_asked_for_a_cameras_noise():
    clean = photograph(0, 240, 320)
    noisy = camera_noise("photograph(iso=102400,push=3)", clean.mean(-1, keepdims=True), 0)
    assert not survey_noise(noisy).is_camera
    # Noise that is alike in all channels has its own way.
    gray = eight_bits(clean + noise((240, 320, 1), 20))
    assert survey_noise(gray).tone is not None and not survey_noise(gray).is_camera
    assert not survey_noise(text_page()).is_camera


def test_gray_pictures_of_three_channels_have_no_color_noise_not_even_by_rounding():
    gray = np.random.default_rng(3).random((500, 8, 8, 1), dtype=np.float32)
    assert noise_survey._is_camera(gray.repeat(3, -1)) == (False, False, 0.0)


def test_what_is_left_of_blocks_is_what_a_fitted_plane_does_not_explain():
    blocks = np.random.default_rng(4).random((5, 8, 8), dtype=np.float32)
    rows, columns = np.indices((8, 8)).reshape(2, -1)
    design = np.stack([np.ones(64), rows, columns], 1)
    fits, *_ = np.linalg.lstsq(design, blocks.reshape(5, -1).T, rcond=None)
    rest = blocks - (design @ fits).T.reshape(blocks.shape)
    np.testing.assert_allclose(noise_survey._without_plane(blocks), rest, atol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("still_rows", range(0, 25, 4))
def test_pictures_of_few_blocks_are_surveyed_without_warnings(still_rows):
    picture = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    picture[:still_rows] = 0
    assert not survey_noise(picture).is_camera
