"""The text of `--degradation`: what it means, that it comes back, and what is refused."""

import numpy as np
import pytest

from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.degradations.draws import Draws, box_muller
from gradnet_tf.degradations.eight_bits import jpeg
from gradnet_tf.degradations.noise_models import Camera, Range
from gradnet_tf.degradations.sampling import evaluation_key, evaluation_noise
from gradnet_tf.utils.errors import UserError

CLEAN = np.random.default_rng(0).random((24, 20, 3), dtype=np.float32)
LONG = "3*gaussian(0,55)+round | camera(read=2) | poisson_gaussian(shot=1e-2,read=2..5)+jpeg(60,95)"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("gaussian(25)", "gaussian(25)"),
        (" gaussian( sigma = 25.0 ) ", "gaussian(25)"),
        ("gaussian(0,50)", "gaussian(0..50)"),
        ("gaussian(sigma=0..50)", "gaussian(0..50)"),
        ("correlated(sigma=1e+1,length=1.5)", "correlated(sigma=10,length=1.5)"),
        (
            "correlated(sigma=0..40, length=0, common=0.5..1)",
            "correlated(sigma=0..40,length=0,common=0.5..1)",
        ),
        ("correlated(sigma=5,length=1,common=0)", "correlated(sigma=5,length=1)"),
        ("gaussian(0,30)+jpeg(30..90)", "gaussian(0..30)+jpeg(30..90)"),
        ("camera", "camera"),
        ("camera(mosaic=1)", "camera"),
        ("1*round|2*jpeg(70)", "round|2*jpeg(70)"),
        (
            LONG,
            "3*gaussian(0..55)+round|camera(read=2)|"
            "poisson_gaussian(shot=0.01,read=2..5)+jpeg(60..95)",
        ),
    ],
)
def test_texts_are_read_and_written_in_one_form(text, canonical):
    degradation = parse_degradation(text)
    assert str(degradation) == canonical
    assert parse_degradation(canonical) == degradation


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is not a stage"),
        ("gauss(3)", "unknown stage 'gauss'"),
        ("gaussian", "gaussian needs sigma"),
        ("gaussian(3", r"'gaussian\(3' is not a stage"),
        ("gaussian(3)+", "'' is not a stage"),
        ("gaussian(50,0)", r"within \[0, 255\]; found '50..0'"),
        ("gaussian(300)", r"within \[0, 255\]; found '300'"),
        ("gaussian(nan)", "found 'nan'"),
        ("gaussian(many)", "found 'many'"),
        ("gaussian(1,2,3)", "gaussian takes sigma=…, each once; found '2'"),
        ("poisson_gaussian(0.1)", "takes shot=… and read=…, each once; found '0.1'"),
        ("correlated(sigma=3)", "correlated needs length"),
        (
            "correlated(sigma=3,length=0,common=2)",
            r"`common` of correlated .* within \[0, 1\]; found '2'",
        ),
        ("gaussian(25,common=1)", "gaussian takes sigma=…, each once; found 'common=1'"),
        ("jpeg(0)", r"`quality` of jpeg .* within \[1, 100\]; found '0'"),
        ("round(3)", "round takes nothing"),
        ("camera(iso=800)", "each once; found 'iso=800'"),
        ("0*gaussian(3)", "the weight before . must be a number above 0: '0'"),
        ("x*gaussian(3)", "the weight before . must be a number above 0: 'x'"),
    ],
)
def test_mistakes_are_named_with_the_choices(text, words):
    with pytest.raises(UserError, match=words) as caught:
        parse_degradation(text)
    assert "stages are gaussian, poisson_gaussian" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_gaussian_of_one_level_is_what_sigma_gives():
    degradation = parse_degradation("gaussian(25)")
    key = evaluation_key(7, "folder/cat.png")
    expected = CLEAN + evaluation_noise(CLEAN.shape, 7, "cat.jpg") * np.float32(25 / 255)
    np.testing.assert_allclose(degradation.apply(CLEAN, Draws(key)), expected, atol=1e-7)
    # And in training, whose draws are by another method.
    noise = box_muller(np.random.default_rng((3, 4)), CLEAN.shape)
    ours = degradation.apply(CLEAN, Draws((3, 4), fast=True))
    np.testing.assert_allclose(ours, CLEAN + noise * np.float32(25 / 255), atol=1e-7)
    # A range draws the same noise, at another strength.
    blind = parse_degradation("gaussian(10,50)").apply(CLEAN, Draws(key)) - CLEAN
    scale = blind.std() / (expected - CLEAN).std()
    assert 10 / 25 < scale < 50 / 25
    np.testing.assert_allclose(blind, scale * (expected - CLEAN), atol=1e-5)


def test_known_levels():
    assert parse_degradation("gaussian(25)").sigma == 25
    assert parse_degradation("gaussian(5,25)").sigma is None
    assert parse_degradation("gaussian(5,25)").sigma_range == (5, 25)
    # A mixture of white Gaussian noise is white Gaussian noise: more clean images, for one.
    assert parse_degradation("24*gaussian(5,55)|gaussian(0)").sigma_range == (0, 55)
    assert parse_degradation("gaussian(25)|gaussian(30)").sigma is None
    for text in ("camera", "gaussian(25)+round", "gaussian(25)|camera"):
        assert parse_degradation(text).sigma is None
        assert parse_degradation(text).sigma_range is None


@pytest.mark.parametrize(
    "text",
    [
        *("round", LONG, "camera|gaussian(0,30)+correlated(sigma=5,length=1)"),
        "correlated(sigma=5..9,length=0..1,common=0.5..1)",
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_key_fixes_everything(text, channels):
    degradation, clean = parse_degradation(text), CLEAN[..., :channels]
    before = clean.copy()
    results = [degradation.apply(clean, Draws((1, k), fast=True)) for k in (0, 0, 1)]
    np.testing.assert_array_equal(clean, before)
    np.testing.assert_array_equal(results[0], results[1])
    assert results[0].shape == clean.shape and results[0].dtype == np.float32
    if text != "round":
        assert not np.array_equal(results[0], results[2])


def test_stages_follow_each_other():
    text = "gaussian(25)+jpeg(70)"
    noisy = parse_degradation("gaussian(25)").apply(CLEAN, Draws((1, 2)))
    both = parse_degradation(text).apply(CLEAN, Draws((1, 2)))
    np.testing.assert_array_equal(both, jpeg(noisy, 70))


def test_strong_compression_after_noise_draws_each_images_level_and_quality():
    flat = np.full((64, 64, 3), 0.5, np.float32)
    chain = parse_degradation("gaussian(0,30)+jpeg(30..90)")
    noise, quality = chain.chains[0].stages
    drawn = set()
    for number in range(20):
        draws = Draws((1, number))
        noisy = noise.apply(flat, draws)
        drawn.add(round(quality.quality.draw(draws)))
        results = [jpeg(noisy, each) for each in range(30, 91)]
        made = chain.apply(flat, Draws((1, number)))
        assert any(np.array_equal(made, result) for result in results)
    assert len(drawn) > 10 and min(drawn) >= 30 and max(drawn) <= 90
    # Far below σ: most of the noise's fine part is gone, and what is left lies in blocks of 8×8.
    strong = parse_degradation("gaussian(20)+jpeg(30)").apply(flat, Draws((1, 2))) - flat
    assert strong.std() < 0.7 * 20 / 255
    inside = np.abs(np.diff(strong[..., 1], axis=1)).mean(axis=0)
    assert inside[7::8].mean() > inside[3::8].mean()


def test_the_noise_of_before_stays_the_noise_of_now():
    """Parameters that were added later draw nothing where they are not given."""
    expected = {
        "gaussian(0,50)": (
            (0.39874545, 0.42061216, 0.40069509),
            (0.41078278, 0.43058118, 0.42813784),
        ),
        "correlated(sigma=25,length=1.5)": (
            (0.43344852, 0.43126059, 0.54932040),
            (0.26863194, 0.26774967, 0.44971520),
        ),
        "correlated(sigma=5..30,length=0..2)+gaussian(5)": (
            (0.38861051, 0.42919570, 0.38278547),
            (0.39239610, 0.47081902, 0.38943437),
        ),
    }
    for text, values in expected.items():
        draws = [Draws((3, 4)), Draws((3, 4), fast=True)]
        for drawn, value in zip(draws, values, strict=True):
            made = parse_degradation(text).apply(CLEAN, drawn)[5, 7]
            np.testing.assert_allclose(made, value, atol=1e-5)


def test_chains_are_chosen_by_weight():
    degradation = parse_degradation("3*gaussian(0)|gaussian(255)")
    still = [np.array_equal(degradation.apply(CLEAN, Draws((0, k))), CLEAN) for k in range(800)]
    assert abs(np.mean(still) - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 800)


def test_ranges_are_filled_uniformly_and_shot_by_its_root():
    values = np.array([Range(2, 6).draw(Draws((0, k))) for k in range(1000)])
    assert values.min() >= 2 and values.max() <= 6
    assert abs(values.mean() - 4) < 4 * (4 / np.sqrt(12)) / np.sqrt(1000)
    roots = np.sqrt([Range(0, 0.04).draw_variance(Draws((0, k))) for k in range(1000)])
    assert abs(roots.mean() - 0.1) < 4 * (0.2 / np.sqrt(12)) / np.sqrt(1000)


def test_every_photograph_of_a_camera_differs():
    results = {Camera().apply(CLEAN, Draws((0, k))).tobytes() for k in range(5)}
    assert len(results) == 5
