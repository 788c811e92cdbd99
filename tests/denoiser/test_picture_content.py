"""What decides how a picture is denoised: flat surroundings, drawings, transparency, gray noise."""

import cv2
import numpy as np
import pytest

from gradnet_tf import weights
from gradnet_tf.denoiser import Denoiser
from gradnet_tf.tiling.tile_config import TileConfig


@pytest.fixture(scope="module", params=["litert", "keras"])
def denoiser(request):
    if request.param == "litert":
        pytest.importorskip("ai_edge_litert")
    return Denoiser(weights.DEFAULT, runtime=request.param)


@pytest.fixture(scope="module")
def earlier():
    """Weights that were not trained with frames."""
    return Denoiser("gradnet_small_color_blind_bsds500")


def clean_photograph(height: int = 176, width: int = 208) -> np.ndarray:
    coarse = np.random.default_rng(2).uniform(30, 220, (9, 11, 3)).astype(np.float32)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    cv2.circle(picture, (70, 90), 40, (190.0, 60.0, 90.0), -1)
    return np.clip(picture, 15, 240)


def noisy(clean: np.ndarray, sigma: float = 25, gray: bool = False) -> np.ndarray:
    shape = (*clean.shape[:2], 1) if gray else clean.shape
    return eight_bits(clean + np.random.default_rng(4).normal(0, sigma, shape))


def eight_bits(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def psnr(clean: np.ndarray, image: np.ndarray, where=slice(None)) -> float:
    return 10 * np.log10(255**2 / np.mean((image.astype(float) - clean)[where] ** 2))


@pytest.mark.parametrize("color", [0, 255, (40, 160, 90)])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_flat_frame_changes_nothing_and_stays_flat(denoiser, color, share):
    clean = clean_photograph()
    picture = noisy(clean)
    height, width = (int(side / np.sqrt(1 - share)) for side in picture.shape[:2])
    framed = np.empty((height, width, 3), np.uint8)
    framed[:] = color
    inside = slice(41, 41 + 176), slice(37, 37 + 208)
    framed[inside] = picture
    result = denoiser(framed)
    np.testing.assert_array_equal(result[inside], denoiser(picture))
    result[inside] = framed[inside]
    np.testing.assert_array_equal(result, framed)
    floats = denoiser.denoise(framed[None].astype(np.float32) / 255)[0]
    np.testing.assert_allclose(floats[inside] * 255, denoiser(picture), atol=0.51)


def test_progress_reaches_every_pixel_of_a_framed_picture(denoiser):
    framed = np.zeros((300, 400, 3), np.uint8)
    framed[60:236, 90:298] = noisy(clean_photograph())
    seen = []
    denoiser(framed, tiles=TileConfig(64), on_tile=lambda *counts: seen.append(counts))
    assert len(seen) > 3 and seen == sorted(seen)
    assert {total for _, total in seen} == {300 * 400} and seen[-1][0] == 300 * 400


def test_flat_parts_inside_the_picture_do_not_weaken_the_rest(earlier):
    clean = clean_photograph(256, 256)
    picture = noisy(clean)
    alone = earlier(picture)
    mask = np.zeros((256, 256), bool)
    mask[:, 40:] = True  # Pure white over 84% of it, with a border that no box follows.
    mask[:20, :] = False
    covered = np.where(mask[..., None], 255, picture).astype(np.uint8)
    where = ~cv2.dilate(mask.astype(np.uint8), np.ones((17, 17))).astype(bool)
    found = psnr(clean, earlier(covered), where)
    assert found > psnr(clean, alone, where) - 0.3
    whole = psnr(clean, earlier(covered, tiles=TileConfig(pooling="whole")), where)
    assert whole < found - 0.5  # So the crops are what helps.


@pytest.mark.parametrize("channels", [1, 3])
def test_pages_drawings_and_flat_pictures_come_back_as_they_are(denoiser, channels):
    page = np.full((200, 320, channels), 255, np.uint8)
    for line in range(7):
        cv2.putText(page, "a page of text", (12, 24 + 26 * line), 0, 0.7, (0,) * 3, 1, 16)
    np.testing.assert_array_equal(denoiser(page), page)
    for level in (0, 128, 255):
        flat = np.full((50, 60, channels), level, np.uint8)
        np.testing.assert_array_equal(denoiser(flat), flat)
    # But noise on a page is removed.
    grainy = eight_bits(page + np.random.default_rng(0).normal(0, 12, page.shape))
    assert psnr(page, denoiser(grainy)) > psnr(page, grainy) + 2


def test_hidden_colors_do_not_reach_the_visible_ones(denoiser):
    clean = clean_photograph()
    picture = noisy(clean)
    y, x = np.mgrid[:176, :208]
    visible = np.hypot(y - 88, x - 100) < 60
    alpha = np.where(visible, 255, 0).astype(np.uint8)[..., None]
    results = []
    for behind in (0, 255, (255, 0, 0), np.random.default_rng(1).integers(0, 256, (176, 208, 3))):
        shown = np.where(visible[..., None], picture, behind).astype(np.uint8)
        result = denoiser(np.concatenate([shown, alpha], axis=-1))
        np.testing.assert_array_equal(result[..., 3:], alpha)
        np.testing.assert_array_equal(result[~visible][:, :3], shown[~visible])
        results.append(result[visible][:, :3])
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    opaque = denoiser(picture)
    both = np.where(visible[..., None], 0, 0) + opaque
    both[visible] = results[0]
    assert psnr(clean, both, visible) > psnr(clean, opaque, visible) - 1


def test_what_is_wholly_transparent_stays(denoiser):
    picture = np.dstack([noisy(clean_photograph()), np.zeros((176, 208), np.uint8)])
    np.testing.assert_array_equal(denoiser(picture), picture)


def test_gray_with_hidden_colors_is_gray(denoiser):
    gray = noisy(clean_photograph().mean(-1, keepdims=True))
    picture = np.dstack([gray, gray, gray, np.full_like(gray, 255)])
    picture[:, :60] = (255, 0, 0, 0)
    result = denoiser(picture)[:, 60:, :3]
    np.testing.assert_array_equal(result[..., :1].repeat(3, -1), result)


@pytest.mark.parametrize("tint", [(1, 1, 1), (1.0, 0.97, 0.92), (1.0, 0.86, 0.68)])
def test_a_toned_picture_is_denoised_like_a_neutral_one(denoiser, tint):
    gray = clean_photograph().mean(-1, keepdims=True)
    neutral = denoiser(noisy(gray))
    clean = gray * np.array(tint)
    toned = eight_bits(noisy(gray).astype(float) * np.array(tint))
    gain = psnr(clean, denoiser(toned)) - psnr(clean, toned)
    assert gain > psnr(gray, neutral) - psnr(gray, noisy(gray)) - 1
    one_level = noisy(gray).repeat(3, -1) + np.array([1, 0, 0], np.uint8) * (noisy(gray) < 255)
    assert psnr(gray, denoiser(one_level)) > psnr(gray, neutral) - 1


def test_gray_noise_on_a_color_picture_goes_and_its_colors_stay(denoiser):
    clean = clean_photograph()
    picture = noisy(clean, gray=True)
    result = denoiser(picture)
    assert psnr(clean, result) > psnr(clean, picture) + 8
    tiled = denoiser(picture, tiles=TileConfig(64))
    assert np.abs(tiled.astype(int) - result).max() <= 1
    halfway = denoiser(picture, 0.5).astype(float)
    np.testing.assert_allclose(halfway, (picture.astype(float) + result) / 2, atol=1.01)


def test_weights_without_a_gray_partner_take_gray_noise_as_before():
    tiny = Denoiser("gradnet_tiny")
    picture = noisy(clean_photograph(), gray=True)
    assert tiny(picture).shape == picture.shape
