"""A tf.data service makes every example of an epoch once, the same for any number of workers."""

import dataclasses

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from service_case import IMAGES, SIZE, SMALL, prepared_images, running_service  # noqa: E402

from datasets.pipeline.batches import PipelineConfig  # noqa: E402
from datasets.pipeline.service_pipeline import (  # noqa: E402
    Epochs,
    example_dataset,
    from_service,
    service_dataset,
)
from datasets.shards.shard_writer import prepare  # noqa: E402

CONFIG = PipelineConfig(batch_size=6, crop_size=16, sigma_min=10, sigma_max=50, seed=5)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepared_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def service():
    with running_service(1) as address:
        yield address


def collect(dataset):
    """Returns {(epoch, image): (noisy, clean)}; fails when one comes twice."""
    found = {}
    for noisy, clean, epoch, number in dataset.as_numpy_iterator():
        assert (epoch, number) not in found
        found[int(epoch), int(number)] = noisy, clean
    return found


def examples(prepared, first=0, count=3, config=CONFIG):
    return example_dataset(Epochs.of(prepared, config.crop_size), config, first, count)


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key, pair in ours.items():
        for one, other in zip(pair, theirs[key], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def reference(prepared):
    """What the pipeline makes without a service."""
    return collect(examples(prepared))


def test_an_epoch_has_every_image_that_is_large_enough_once(reference):
    numbers = [number for number in range(IMAGES) if number != SMALL]
    assert sorted(reference) == [(epoch, number) for epoch in range(3) for number in numbers]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_makes_the_same_examples_once_each(prepared, reference, workers):
    with running_service(workers) as address:
        assert_equal(collect(from_service(examples(prepared), address, "job")), reference)


def test_a_later_start_and_another_job_make_the_same_examples(prepared, reference, service):
    ours = collect(from_service(examples(prepared, first=1, count=2), service, "later"))
    assert_equal(ours, {key: pair for key, pair in reference.items() if key[0] >= 1})


def test_two_consumers_of_a_job_get_disjoint_examples_that_make_up_the_epochs(prepared, reference):
    with running_service(2) as address:
        found = read_in_turns(
            [iter(from_service(examples(prepared), address, "shared")) for _ in range(2)]
        )
    assert found[0] and found[1] and not found[0].keys() & found[1].keys()
    assert_equal(found[0] | found[1], reference)


def read_in_turns(streams):
    found, turns = [{}, {}], 0
    while streams[0] or streams[1]:
        each, turns = turns % 2, turns + 1
        element = next(streams[each], None) if streams[each] else None
        if element is None:
            streams[each] = None
            continue
        noisy, clean, epoch, number = (part.numpy() for part in element)
        assert (epoch, number) not in found[each]
        found[each][int(epoch), int(number)] = noisy, clean
    return found


def test_crops_are_pieces_of_their_image_anywhere_and_turned_all_eight_ways(prepared):
    seen, tops, lefts = set(), set(), set()
    for (_, number), (_, clean) in collect(examples(prepared, count=40)).items():
        assert clean.shape == (16, 16, 3) and (clean[..., 2] == number).all()
        place = clean.astype(int)
        # How row and column change along the two axes tells the flips and the transposition.
        down, right = place[1, 0, :2] - place[0, 0, :2], place[0, 1, :2] - place[0, 0, :2]
        seen.add((*down, *right))
        rows, columns = place[..., 0], place[..., 1]
        tops.add(rows.min())
        lefts.add(columns.min())
        i, j = np.mgrid[:16, :16]
        np.testing.assert_array_equal(rows, rows[0, 0] + down[0] * i + right[0] * j)
        np.testing.assert_array_equal(columns, columns[0, 0] + down[1] * i + right[1] * j)
    assert len(seen) == 8
    assert tops == set(range(SIZE[0] - 15)) and lefts == set(range(SIZE[1] - 15))


def noise_of(prepared, sigma_min, sigma_max):
    config = PipelineConfig(6, 32, sigma_min, sigma_max, seed=2)
    pairs = collect(examples(prepared, count=20, config=config)).values()
    clean = np.stack([clean for _, clean in pairs]).astype(np.float32) / np.float32(255)
    return 255 * (np.stack([noisy for noisy, _ in pairs]) - clean)


def test_noise_is_normal_independent_and_not_clipped(prepared):
    draws = noise_of(prepared, 25, 25) / 25
    assert draws.shape == (200, 32, 32, 3)
    assert abs(draws.mean()) < 0.005 and abs(draws.std() - 1) < 0.005
    assert abs((draws**3).mean()) < 0.02 and abs((draws**4).mean() - 3) < 0.05
    flat = draws.reshape(200, -1)
    assert abs(np.corrcoef(flat) - np.eye(200)).max() < 0.1  # between examples
    assert abs((flat[:, 1:] * flat[:, :-1]).mean()) < 0.01  # between neighbours
    half = flat.shape[1] // 2  # between the two halves that Box-Muller makes together
    assert abs((flat[:, :half] * flat[:, half:]).mean()) < 0.01


def test_sigma_is_uniform_in_its_range_and_one_level_is_that_level(prepared):
    sigmas = noise_of(prepared, 10, 50).std(axis=(1, 2, 3))
    assert sigmas.min() > 9.5 and sigmas.max() < 51.5
    assert np.histogram(sigmas, 4, (10, 50))[0].min() > 25
    assert (noise_of(prepared, 0, 0) == 0).all()


def test_another_seed_and_another_epoch_make_other_examples(prepared, reference):
    other = collect(examples(prepared, config=dataclasses.replace(CONFIG, seed=6)))
    assert all((other[key][0] != pair[0]).any() for key, pair in reference.items())
    assert (reference[0, 0][0] != reference[1, 0][0]).any()


def test_one_shard_is_enough(prepared, tmp_path, reference):
    single = prepare(prepared, tmp_path, shards=1)
    assert_equal(collect(examples(single)), reference)


@pytest.mark.parametrize("parts", [1, 2])
def test_batches_are_endless_with_static_shapes_and_begin_with_the_steps_epoch(
    prepared, service, parts
):
    config = PipelineConfig(4, 16, 0, 0, seed=5, start_step=6, parts=parts)
    epochs = Epochs.of(prepared, 16)
    assert epochs.images == 10 and epochs.first(config) == 2
    dataset = service_dataset(epochs, config, service, f"batches-{parts}")
    for spec in dataset.element_spec:
        assert spec.shape.as_list() == [4 // parts, 16, 16, 3] and spec.dtype == tf.float32
    assert dataset.options().experimental_distribute.auto_shard_policy.name == "OFF"
    wanted = collect(examples(prepared, first=2, count=30, config=config)).values()
    wanted = {clean.tobytes() for _, clean in wanted}
    for noisy, clean in dataset.take(12).as_numpy_iterator():
        np.testing.assert_array_equal(noisy, clean)  # σ is 0
        pixels = np.rint(clean * 255).astype(np.uint8)
        np.testing.assert_array_equal(clean, pixels.astype(np.float32) / np.float32(255))
        assert all(crop.tobytes() in wanted for crop in pixels)
