"""What scales, textured crops, colours and frames change of a training example, and what stays."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from datasets.pipeline.batches import TrainingBatches, change_colors, frame_of
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.pipeline.stream import TrainingInput, host_batches, training_stream
from datasets.sets.catalog import find_dataset
from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.degradations.sampling import CropSampler, TextureChoice
from gradnet_tf.images.image_files import write_image
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.run import prepare_workdir
from gradnet_tf.training.workers.cluster import Cluster
from gradnet_tf.utils.errors import UserError

CONFIG = PipelineConfig(batch_size=8, crop_size=16, sigma_min=5, sigma_max=50, seed=3, steps=3)
KNOBS = {"crop_candidates": 4, "color_jitter": 0.5, "frame_share": 0.5}
ALL_KNOBS = pytest.mark.parametrize("knobs", [{k: v} for k, v in KNOBS.items()] + [KNOBS], ids=str)


@pytest.fixture
def image_set(make_images):
    folder = make_images("mine", ["a.png", "b.png", "c.png"], size=(40, 56))
    return find_dataset("folder", folder)


def make(image_set, step=0, **changes):
    return TrainingBatches(image_set, dataclasses.replace(CONFIG, **changes)).batch(step)


def choices(image_set, **changes):
    sampler = TrainingBatches(image_set, dataclasses.replace(CONFIG, **changes)).sampler
    return [sampler.choose(n) for n in range(24)]


@ALL_KNOBS
@pytest.mark.parametrize("step", [0, 2])
def test_a_knob_changes_clean_crops_and_neither_image_orientation_noise_nor_sigma(
    image_set, knobs, step
):
    plain, changed = choices(image_set), choices(image_set, **knobs)
    for one, other in zip(plain, changed, strict=True):
        moved = "crop_candidates" in knobs and (one.top, one.left) != (other.top, other.left)
        assert moved or one == other
        assert dataclasses.replace(other, top=one.top, left=one.left) == one
    if "crop_candidates" in knobs:
        assert plain != changed
    (noisy, clean), (noisy_too, clean_too) = make(image_set, step), make(image_set, step, **knobs)
    assert (clean != clean_too).any() and clean_too.dtype == noisy_too.dtype == np.float32
    assert 0 <= clean_too.min() and clean_too.max() <= 1
    framed = noisy_too == clean_too if "frame_share" in knobs else np.zeros(clean.shape, bool)
    noise, noise_too = noisy - clean, noisy_too - clean_too
    np.testing.assert_allclose(noise_too[~framed], noise[~framed], atol=1e-6)
    assert framed.mean() < 0.6


@pytest.mark.parametrize("name", ["color_jitter", "frame_share"])
def test_a_share_is_the_share_of_the_examples(image_set, name):
    clean = np.concatenate([make(image_set, step)[1] for step in range(40)])
    for share, low, high in ((0.0, 0, 0), (0.25, 0.17, 0.33), (1.0, 0.9, 1.0)):
        some = [make(image_set, step, **{name: share})[1] for step in range(40)]
        different = (np.concatenate(some) != clean).any(axis=(1, 2, 3)).mean()
        assert low <= different <= high


def test_frames_are_flat_without_noise_and_leave_a_rectangle(image_set):
    noisy, clean = make(image_set, frame_share=1.0)
    plain = make(image_set)[1]
    for one, before, crop in zip(noisy, plain, clean, strict=True):
        outside = (one == crop).all(axis=2)
        colours = np.unique(crop[outside], axis=0)
        assert len(colours) <= 1
        rows, columns = (np.flatnonzero((~outside).any(axis=axis)) for axis in (1, 0))
        inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        assert not outside[inside].any() and (~outside).sum() == len(rows) * len(columns)
        np.testing.assert_array_equal(crop[inside], before[inside])


def test_frames_have_all_sizes_and_black_white_gray_and_any_color():
    generator, crop = np.random.default_rng(0), np.zeros((80, 80, 3), np.uint8)
    frames = [frame_of(crop, generator) for _ in range(400)]
    kept = np.array([1 - outside.mean() for outside, _ in frames])
    assert 0.04 < kept.min() < 0.1 and kept.max() > 0.9
    colours = np.array([colour for _, colour in frames])
    assert colours.shape == (400, 3) and colours.dtype == np.float32
    black, white = (colours == 0).all(axis=1), (colours == 1).all(axis=1)
    grey = (np.ptp(colours, axis=1) == 0) & ~black & ~white
    for kind in (black, white, grey, np.ptp(colours, axis=1) > 0):
        assert 0.18 < kind.mean() < 0.32
    np.testing.assert_allclose(colours * 255, np.rint(colours * 255), atol=1e-4)
    outside, colour = frame_of(np.zeros((9, 7, 1), np.uint8), generator)
    assert outside.shape == (9, 7) and colour.shape == (1,)


def test_colors_are_permuted_saturated_and_brightened():
    crop = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
    generator = np.random.default_rng(0)
    changed = [change_colors(crop, generator) for _ in range(200)]
    assert all(c.dtype == np.uint8 and c.shape == crop.shape for c in changed)

    def spread(image):
        return np.ptp(image.astype(float), axis=2).mean()

    ratios = np.array([spread(image) for image in changed]) / spread(crop)
    assert ratios.min() < 0.4 and ratios.max() > 1.3
    assert np.ptp([image.mean() for image in changed]) > 40
    # Which channel of the crop each channel follows: all six orders occur.
    orders = set()
    for image in changed:
        corners = [
            [np.corrcoef(image[..., i].ravel(), crop[..., j].ravel())[0, 1] for j in range(3)]
            for i in range(3)
        ]
        orders.add(tuple(np.argmax(corners, axis=1)))
    assert set(itertools.permutations(range(3))) <= orders


def test_gray_crops_become_brighter_or_darker(image_set):
    grey = np.full((8, 8, 1), 100, np.uint8)
    values = [change_colors(grey, np.random.default_rng(n)) for n in range(100)]
    assert all(len(np.unique(value)) == 1 for value in values)
    levels = [int(value[0, 0, 0]) for value in values]
    assert 60 <= min(levels) < 70 and 115 < max(levels) <= 125
    grey_set = dataclasses.replace(image_set, channels=1)
    assert make(grey_set, channels=1, **KNOBS)[1].shape == (8, 16, 16, 1)


def test_textured_crops_are_taken():
    flat = np.full((120, 240, 3), 90, np.uint8)
    flat[:, 160:] = np.random.default_rng(0).integers(0, 256, (120, 80, 3))
    sampler = CropSampler([flat.shape[:2]], 16, 25, 25, 0)
    uniform = np.array([sampler.choose(n).left for n in range(300)])
    sampler.texture = TextureChoice([flat].__getitem__, [flat.shape[:2]], 16, 4)
    taken = [sampler.choose(n) for n in range(300)]
    left = np.array([choice.left for choice in taken])
    assert (uniform > 144).mean() < 0.45 and (left > 144).mean() > 0.75
    assert all(0 <= c.top <= 104 and 0 <= c.left <= 224 for c in taken)


def test_without_texture_the_first_crop_stays():
    flat = np.full((120, 240, 3), 90, np.uint8)
    sampler = CropSampler([flat.shape[:2]], 16, 25, 25, 0)
    plain = [sampler.choose(n) for n in range(50)]
    sampler.texture = TextureChoice([flat].__getitem__, [flat.shape[:2]], 16, 4)
    assert [sampler.choose(n) for n in range(50)] == plain


@pytest.mark.parametrize("size", [(16, 240), (16, 16), (5, 240), (17, 240)])
def test_an_image_as_low_as_the_crop_has_textured_places_too(size):
    image = np.full((*size, 3), 90, np.uint8)
    image[:, size[1] // 2 :] = np.random.default_rng(0).integers(
        0, 256, image[:, size[1] // 2 :].shape
    )
    crop = min(16, size[0])
    sampler = CropSampler([size], crop, 25, 25, 0)
    plain = [sampler.choose(n).left for n in range(200)]
    sampler.texture = TextureChoice([image].__getitem__, [size], crop, 4)
    left = [sampler.choose(n).left for n in range(200)]
    if size[1] > crop:
        assert np.mean(np.array(left) > 112) > np.mean(np.array(plain) > 112) + 0.25


def test_validation_and_real_noise_know_no_knobs(make_images):
    kinds = ("noisy", "reference", "clean")
    folder = make_images("D/renoir", [f"batch{n:02d}_{k}.png" for n in (1, 31) for k in kinds])
    renoir = find_dataset("renoir", folder.parent, "train", warn=False)
    for ours, theirs in zip(
        make(renoir, color_jitter=1.0, frame_share=1.0), make(renoir), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@ALL_KNOBS
@pytest.mark.parametrize("noise", [None, "gaussian(0,55)|gaussian(0)"])
def test_examples_follow_from_seed_and_number(image_set, knobs, noise):
    degradation = parse_degradation(noise) if noise else None
    config = dataclasses.replace(CONFIG, degradation=degradation, **knobs)
    batches = TrainingBatches(image_set, config)
    backward = [batches.batch(step) for step in (2, 1, 0)][::-1]
    half = TrainingBatches(image_set, dataclasses.replace(config, batch_size=4, part=0))
    parts = [
        TrainingBatches(image_set, dataclasses.replace(config, parts=2, part=part))
        for part in (0, 1)
    ]
    for step in range(3):
        whole = batches.batch(step)
        others = [
            backward[step],
            [
                np.concatenate(p)
                for p in zip(*map(half.batch, (2 * step, 2 * step + 1)), strict=True)
            ],
            [np.concatenate(p) for p in zip(*(p.batch(step) for p in parts), strict=True)],
        ]
        for other in others:
            for ours, theirs in zip(whole, other, strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert any(
        (one != other).any()
        for one, other in zip(
            make(image_set, seed=4, **knobs), make(image_set, **knobs), strict=True
        )
    )


@pytest.mark.parametrize("workers", [1, 5])
def test_workers_change_no_example(image_set, workers):
    config = dataclasses.replace(CONFIG, workers=workers, **KNOBS)
    expected = TrainingBatches(image_set, config)
    stream = host_batches(TrainingBatches(image_set, config))
    for step in range(3):
        for ours, theirs in zip(next(stream), expected.batch(step), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    stream.close()


@pytest.mark.parametrize("workers", [1, 5])
def test_the_tensorflow_pipeline_makes_the_same(image_set, workers):
    pytest.importorskip("tensorflow")
    from datasets.pipeline.tf_pipeline import training_dataset

    config = dataclasses.replace(CONFIG, workers=workers, **KNOBS)
    expected = TrainingBatches(image_set, config)
    for step, pair in enumerate(training_dataset(image_set, config).as_numpy_iterator()):
        for ours, theirs in zip(pair, expected.batch(step), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert step == 2


@pytest.mark.parametrize("name", ["color_jitter", "frame_share"])
def test_jax_gets_changed_crops_from_the_host(image_set, monkeypatch, name):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    config = dataclasses.replace(CONFIG, **{name: 0.5})
    stream = training_stream(image_set, config)
    for ours, theirs in zip(next(stream), TrainingBatches(image_set, config).batch(0), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    stream.close()


def test_jax_cuts_the_same_textured_crops_on_the_device(image_set, monkeypatch):
    jax = pytest.importorskip("jax")
    from gradnet_tf.training.engines import device_batches as module

    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    config = dataclasses.replace(CONFIG, crop_candidates=4)
    batches = training_stream(image_set, config)
    assert isinstance(batches, module.DeviceBatches)
    cut = jax.jit(module.make_batch, static_argnums=2)
    for step in range(3):
        _, clean = cut(batches.planes, batches.choices(step), 16)
        np.testing.assert_array_equal(
            np.asarray(clean), TrainingBatches(image_set, config).batch(step)[1]
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"crop_candidates": 0},
            "`crop_candidates` must be at least 1. Received: crop_candidates=0",
        ),
        (
            {"color_jitter": -0.1},
            r"`color_jitter` must be in \[0, 1\]. Received: color_jitter=-0.1",
        ),
        ({"frame_share": 1.5}, r"`frame_share` must be in \[0, 1\]. Received: frame_share=1.5"),
        ({"frame_share": float("nan")}, r"`frame_share` must be in \[0, 1\]. Received: .*nan"),
    ],
)
def test_values_out_of_range_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        dataclasses.replace(CONFIG, **changes)
    with pytest.raises(UserError, match=words):
        TrainConfig(preset="gradnet_tiny", **changes)


@pytest.mark.parametrize(
    "scales", [(), ("",), ("half",), (0,), (1.5,), (float("nan"),), (1, 0.5, "1.0"), 0.5, None]
)
def test_scales_that_are_none_are_refused(scales):
    words = r"`scales` must be one or more different numbers in \(0, 1\]. Received: scales="
    with pytest.raises(UserError, match=words):
        TrainConfig(preset="gradnet_tiny", scales=scales)


def test_an_unknown_optimiser_is_refused_and_each_has_a_rate():
    with pytest.raises(UserError, match="`optimizer` must be one of adam, muon. Received: .*'sgd'"):
        TrainConfig(preset="gradnet_tiny", optimizer="sgd")
    rates = {
        name: TrainConfig(preset="gradnet_small", optimizer=name).learning_rate
        for name in ("adam", "muon")
    }
    assert rates == {"adam": 1.5e-3, "muon": 2e-3}
    assert (
        TrainConfig(preset="gradnet_small", optimizer="muon", learning_rate=1e-3).learning_rate
        == 1e-3
    )
    assert TrainConfig(preset="gradnet_small").optimizer == "muon"
    assert TrainConfig(preset="gradnet").optimizer == "adam"


def test_the_flags_reach_the_batches(image_set):
    folder = image_set.paths[0].parent
    write_image(folder / "large.png", np.zeros((300, 300, 3), np.uint8))

    def batch(**fields):
        config = TrainConfig(preset="gradnet_tiny", dataset="folder", crop_size=16, **fields)
        stream = iter(TrainingInput(config, folder).batch_maker(Cluster())(0))
        return [np.asarray(array) for array in next(stream)]

    plain = batch(seed=1)
    for name, value in {**KNOBS, "scales": ("1", "0.5")}.items():
        changed = batch(seed=1, **{name: value})
        assert (changed[1] != plain[1]).any(), name
        assert changed[0].shape == plain[0].shape
    for ours, theirs in zip(batch(seed=1, scales=["1"]), plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("fields", "flag"),
    [
        ({"scales": (1, 0.5)}, "--scales=1,0.5"),
        ({"crop_candidates": 3}, "--crop_candidates=3"),
        ({"color_jitter": 0.25}, "--color_jitter=0.25"),
        ({"frame_share": 0.03}, "--frame_share=0.03"),
    ],
)
def test_the_data_service_refuses_them(tmp_path, fields, flag):
    pytest.importorskip("tensorflow")
    config = TrainConfig(preset="gradnet_tiny", dataset="sample", worker_timeout=1, **fields)
    source = TrainingInput(config, None, str(tmp_path), "grpc://nowhere.invalid:5050")
    with pytest.raises(UserError, match=f"Received: {flag}.\nRemove one of the two"):
        source.batch_maker(Cluster())
    assert not list(tmp_path.iterdir())


def test_a_run_from_before_the_fields_resumes_and_other_values_are_named(tmp_path):
    # Before there was a choice, every run used Adam.
    config = TrainConfig(preset="gradnet_tiny", optimizer="adam", workdir=str(tmp_path))
    path = prepare_workdir(config) / "config.json"
    recorded = json.loads(path.read_text())
    for name in ("optimizer", "scales", *KNOBS):
        del recorded["train"][name]
    path.write_text(json.dumps(recorded))
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "model.weights.h5").write_bytes(b"x")
    with_weights = pytest.MonkeyPatch()
    with_weights.setattr("gradnet_tf.training.run.has_weights", lambda folder: True)
    try:
        prepare_workdir(config)
        for name, value in {**KNOBS, "optimizer": "muon", "scales": (1, 0.5)}.items():
            with pytest.raises(UserError, match=f"another configuration .*{name}: "):
                prepare_workdir(dataclasses.replace(config, **{name: value}))
    finally:
        with_weights.undo()
