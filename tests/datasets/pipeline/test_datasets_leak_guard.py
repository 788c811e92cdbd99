"""No image of a test set is trained on, whatever it is called; unless that is asked for."""

import numpy as np
import pytest
from matlab_case import write_blocks, write_nyuv2

from datasets.pipeline.batches import PipelineConfig, TrainingBatches, validation_pairs
from datasets.pipeline.leak_guard import KNOWN_TESTS, LeakGuard, content_hash, make_guard
from datasets.sets.catalog import find_dataset, find_training_sets
from gradnet_tf.images.image_files import read_image, to_gray, write_image
from gradnet_tf.utils.errors import UserError

CONFIG = PipelineConfig(batch_size=2, crop_size=16, sigma_min=25, sigma_max=25)


@pytest.fixture
def parent(make_images, tmp_path):
    """D with Kodak24 (two images), and a training folder that holds a renamed one of them."""
    make_images("kodak24", ["kodim01.png", "kodim02.png"])
    make_images("mine", ["a.png", "b.png", "c.png"])
    write_image(tmp_path / "mine" / "z.tif", read_image(tmp_path / "kodak24" / "kodim02.png"))
    return tmp_path


def test_hash_is_of_the_pixels_and_the_same_in_gray():
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    grey = to_gray(image)
    assert content_hash(image) == content_hash(grey) == content_hash(grey.repeat(3, axis=2))
    changed = grey.copy()
    changed[8, 6] ^= 1
    assert content_hash(changed) != content_hash(grey)


def test_a_test_set_beside_the_training_images_is_guarded(parent):
    guard = make_guard(parent)
    assert guard.counts["kodak24"] == 2
    images = find_dataset("folder", parent / "mine")
    with pytest.raises(UserError, match=r"z\.tif is a test image of kodak24; .*\n.*allow_test_im"):
        TrainingBatches(images, CONFIG, guard)
    with pytest.raises(UserError, match=r"z\.tif is a test image of kodak24"):
        validation_pairs(images, 25, 0, guard=guard)
    TrainingBatches(images.first(3), CONFIG, guard)


def test_test_splits_of_training_sets_are_guarded_too(tmp_path, capsys):
    images = write_nyuv2(tmp_path / "nyuv2")  # 1, 3, 5 train, 2, 4, 6 test
    blocks = write_blocks(
        tmp_path / "sidd", ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb")
    )["ValidationGtBlocksSrgb"]
    guard = make_guard(tmp_path)
    assert (guard.counts["nyuv2"], guard.counts["sidd"]) == (3, 6)
    assert "scores will not be comparable" not in capsys.readouterr().err  # nothing is scored here
    assert guard.find(images[1]) == "a test image of nyuv2" and guard.find(images[0]) is None
    assert guard.find(blocks[1, 2]) == "a test image of sidd"
    fit, _ = find_training_sets("nyuv2", tmp_path)
    TrainingBatches(fit, CONFIG, guard)


def test_sets_elsewhere_are_guarded_when_named(parent, make_images):
    other = make_images("elsewhere", ["own.png"])
    write_image(parent / "mine" / "b.png", to_gray(read_image(other / "own.png")))
    images = find_dataset("folder", parent / "mine")
    guard = make_guard(None, [str(other)])
    with pytest.raises(UserError, match=r"b\.png is a test image of folder"):
        TrainingBatches(images, CONFIG, guard)
    with pytest.raises(UserError, match="unknown dataset 'nonesuch'"):
        make_guard(parent, ["nonesuch"])
    with pytest.raises(UserError, match="dataset mcmaster is not in"):
        make_guard(parent, ["mcmaster"])


def test_what_is_allowed_passes_with_one_note_each(parent, capsys):
    images = find_dataset("folder", parent / "mine")
    guard = make_guard(parent, allow=True)
    for _ in range(2):
        TrainingBatches(images, CONFIG, guard)
    notes = [line for line in capsys.readouterr().err.splitlines() if "z.tif" in line]
    assert len(notes) == 1 and notes[0].endswith("it is used because of --allow_test_images.")


def test_a_training_folder_with_a_test_sets_file_names_is_not_taken_for_it(make_images):
    folder = make_images("mine", [f"{number:02d}.png" for number in range(1, 13)])
    assert find_dataset("set12", folder).name == "set12"  # by its files it could be
    TrainingBatches(find_training_sets("folder", folder)[0], CONFIG, make_guard(folder))


def test_a_damaged_test_set_stops_no_training_unless_it_was_named(parent, capsys):
    (parent / "kodak24" / "kodim01.png").write_text("text")
    make_guard(parent)
    assert "test images of kodak24 are not guarded" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"kodim01\.png"):
        make_guard(parent, ["kodak24"])


def test_the_sample_test_images_are_always_known(tmp_path):
    test = find_dataset("sample", split="test")
    write_image(tmp_path / "cat.png", test.load(0))
    write_image(tmp_path / "other.png", np.zeros((32, 32, 3), np.uint8))
    guard = make_guard(None)
    with pytest.raises(UserError, match=r"cat\.png is a test image of sample"):
        TrainingBatches(find_dataset("folder", tmp_path), CONFIG, guard)
    training, validation = find_training_sets("sample")
    for images in (training, validation):
        assert not any(guard.find(images.load(index)) for index in range(len(images)))


def test_a_sets_own_validation_split_may_be_validated_on_but_not_trained_on(parent, make_images):
    for name in ("noisy", "reference", "clean"):
        make_images("renoir", [f"batch{n}_{name}.png" for n in ("01", "31")])
    _, validation = find_training_sets("renoir", parent)
    guard = make_guard(parent, ["renoir"])
    assert len(validation_pairs(validation, 25, 0, guard=guard)) == 1
    with pytest.raises(UserError, match="batch31_clean.png is a test image of renoir"):
        TrainingBatches(validation, CONFIG, guard)


def test_prepared_shards_are_compared_too(parent, tmp_path):
    from datasets.shards.shard_writer import prepared_set

    prepared = prepared_set(find_dataset("folder", parent / "mine"), tmp_path / "shards")
    loads = []
    guard = make_guard(parent)
    with pytest.raises(UserError, match=r"z\.tif is a test image of kodak24"):
        TrainingBatches(prepared, CONFIG, guard)
    # Without a known image of that size nothing is read.
    type(prepared).load, load = lambda self, index: loads.append(index), type(prepared).load
    try:
        TrainingBatches(prepared, CONFIG, LeakGuard())
    finally:
        type(prepared).load = load
    assert loads == []


def test_hashes_of_known_sets_are_complete_and_right(data_dir):
    counts = {name: sum(len(h.split()) for h in s.values()) for name, s in KNOWN_TESTS.items()}
    assert counts == {"set12": 12, "polyu": 100}
    guard, set12 = LeakGuard(), find_dataset("set12", data_dir)
    for index in range(12):
        assert guard.find(set12.load(index)) == "a test image of set12"


def test_the_real_trap_and_no_false_alarm(data_dir):
    guard = make_guard(data_dir, ["cbsd68"])
    bsds = find_dataset("bsds500", data_dir, "trainable")
    assert not any(guard.find(bsds.load(index)) for index in range(0, len(bsds), 7))
    trap = read_image(next((data_dir / "bsds500" / "val").glob("3096.*")))
    assert guard.find(trap) == "test image 3096 of BSD68/CBSD68"
    assert content_hash(trap) == content_hash(read_image(data_dir / "cbsd68" / "3096.png"))
