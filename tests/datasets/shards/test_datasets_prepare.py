"""Prepared shards hold what decoding gives, survive kills, and say what is wrong with them."""

import contextlib
import dataclasses
import fcntl
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from datasets.__main__ import main
from datasets.pipeline.batches import TrainingBatches
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.sets.bsds500 import BSD68_IMAGES
from datasets.sets.catalog import find_dataset
from datasets.sets.image_set import ImageSet
from datasets.shards.shard_files import PreparedSet, open_prepared, prepared_folder
from datasets.shards.shard_writer import default_shards, prepare, prepared_set
from gradnet_tf.images.image_files import write_image
from gradnet_tf.utils.errors import UserError

NAMES = [f"{letter}.png" for letter in "abcdefg"]


@pytest.fixture
def images(tmp_path):
    """Seven images of different sizes; prepared into three shards."""
    for number, name in enumerate(NAMES):
        generator = np.random.default_rng(number)
        size = (24 + number, 40 - number, 3)
        write_image(tmp_path / "own" / name, generator.integers(0, 256, size, np.uint8))
    return find_dataset("folder", tmp_path / "own")


@pytest.mark.parametrize("readable", [0, 2])
def test_a_refused_start_leaves_only_what_is_finished(tmp_path, images, readable):
    images = images.first(3)
    images.paths[readable].write_bytes(b"no image")
    with pytest.raises(UserError, match=images.names[readable]):
        prepare(images, tmp_path / "p", shards=3)
    kept = [path.name for path in prepared_files(tmp_path) if path.suffix == ".tfrecord"]
    assert len(kept) == readable
    assert (tmp_path / "p/folder_all_3").exists() == (readable > 0)


def test_who_waited_for_a_refused_one_prepares_the_folder_again(tmp_path, images):
    folder = tmp_path / "p/folder_all_3"
    folder.mkdir(parents=True)
    lock = open(folder / ".lock", "a")
    fcntl.flock(lock, fcntl.LOCK_EX)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(prepare, images, tmp_path / "p", 3)
        time.sleep(0.3)  # Long enough to be waiting; where it is not, the test tells less.
        assert not waiting.done()
        (folder / ".lock").unlink()
        with contextlib.suppress(OSError):  # The waiting one may be faster: it goes on in there.
            folder.rmdir()
        lock.close()
        assert len(waiting.result(60)) == len(NAMES)


def prepared_files(tmp_path):
    return sorted((tmp_path / "p/folder_all_3").glob("*"))


def write_times(tmp_path):
    return {path.name: path.stat().st_mtime_ns for path in prepared_files(tmp_path)}


@pytest.mark.parametrize("channels", [3, 1])
def test_every_image_comes_back_as_it_is_decoded_in_the_sets_order(tmp_path, images, channels):
    images = dataclasses.replace(images, channels=channels)
    prepare(images, tmp_path / "p", shards=3)
    prepared = open_prepared(images, tmp_path / "p")
    assert isinstance(prepared, ImageSet) and prepared.names == images.names
    assert prepared.folder.name == f"folder_all_{channels}"
    for index in range(len(images)):
        pixels = prepared.load(index)
        assert pixels.dtype == np.uint8 and not pixels.flags.writeable
        np.testing.assert_array_equal(pixels, images.load(index))
        assert prepared.sizes[index] == pixels.shape[:2]


def test_the_index_says_where_pixels_are_and_tensorflow_reads_the_same_records(tmp_path, images):
    tf = pytest.importorskip("tensorflow")
    prepared = prepare(images, tmp_path / "p", shards=3)
    index = json.loads((prepared.folder / "index.json").read_text())
    assert [row["name"] for row in index["images"]] == NAMES
    for number, row in enumerate(index["images"]):
        content = prepared.files[row["shard"]].read_bytes()
        pixels = images.load(number).tobytes()
        assert content[row["offset"] : row["offset"] + len(pixels)] == pixels
    numbers = []
    for record in tf.data.TFRecordDataset([str(path) for path in prepared.files]):
        number, *shape = tf.io.decode_raw(tf.strings.substr(record, 0, 16), tf.int32).numpy()
        pixels = tf.io.decode_raw(record, tf.uint8)[16:].numpy().reshape(shape)
        np.testing.assert_array_equal(pixels, images.load(number))
        numbers.append(number)
    assert sorted(numbers) == list(range(7))


def test_a_second_run_reports_it_and_writes_nothing(tmp_path, images, capsys, monkeypatch):
    prepare(images, tmp_path / "p", shards=3)
    before = write_times(tmp_path)
    monkeypatch.setattr(ImageSet, "load", lambda *_: pytest.fail("an image was decoded"))
    prepare(images, tmp_path / "p")
    assert write_times(tmp_path) == before
    assert "7 images in 3 shards, nothing to do" in capsys.readouterr().out


def test_an_interrupted_run_leaves_no_set_and_the_next_keeps_what_is_whole(
    tmp_path, images, monkeypatch
):
    load, decoded = ImageSet.load, []

    def stop_at_c(self, index):
        if self.names[index] == "c.png":
            raise KeyboardInterrupt
        return load(self, index)

    monkeypatch.setattr(ImageSet, "load", stop_at_c)
    with pytest.raises(KeyboardInterrupt):
        prepare(images, tmp_path / "p", shards=3)
    assert open_prepared(images, tmp_path / "p") is None
    # Shards 0 and 1 were whole; a killed writer leaves its unfinished file as well.
    folder = prepared_folder(images, tmp_path / "p")
    (folder / ".partial-shard").write_bytes(b"half")
    monkeypatch.setattr(
        ImageSet, "load", lambda self, index: decoded.append(index) or load(self, index)
    )
    resumed = prepare(images, tmp_path / "p", shards=3)
    assert sorted(decoded) == [2, 5]
    monkeypatch.undo()
    whole = prepare(images, tmp_path / "q", shards=3)
    assert resumed.index == whole.index
    names = [sorted(path.name for path in each.folder.iterdir()) for each in (resumed, whole)]
    assert names[0] == names[1] and not any("partial" in name for name in names[0])


def test_a_changed_source_is_noticed_and_prepared_again_on_request(tmp_path, images, capsys):
    prepare(images, tmp_path / "p", shards=3)
    write_image(images.paths[0], np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(UserError, match="made from other images(.|\n)*datasets prepare"):
        prepared_set(images, tmp_path / "p")
    assert not prepare(images, tmp_path / "p").load(0).any()
    assert "made from other images" in capsys.readouterr().err
    fewer = images.first(5)
    with pytest.raises(UserError, match="expected .* 7 files, found 5 files"):
        prepared_set(fewer, tmp_path / "p")


@pytest.mark.parametrize("side", [24, 200])
def test_other_pixels_in_files_of_the_same_size_are_noticed(tmp_path, side):
    def images(level):
        for name in ("a.bmp", "b.bmp"):
            write_image(tmp_path / "own" / name, np.full((side, side, 3), level, np.uint8))
        return find_dataset("folder", tmp_path / "own")

    prepare(images(10), tmp_path / "p", shards=1)
    with pytest.raises(UserError, match="made from other images"):
        prepared_set(images(20), tmp_path / "p")
    assert prepare(images(20), tmp_path / "p").load(0)[0, 0, 0] == 20


def test_another_number_of_shards_leaves_no_old_ones(tmp_path, images):
    prepare(images, tmp_path / "p", shards=3)
    prepare(images, tmp_path / "p", shards=2)
    shards = [path.name for path in prepared_files(tmp_path) if path.suffix == ".tfrecord"]
    assert shards == ["shard-00000-of-00002.tfrecord", "shard-00001-of-00002.tfrecord"]


def test_a_truncated_or_missing_shard_is_named_when_the_set_is_opened(tmp_path, images):
    path = prepare(images, tmp_path / "p", shards=3).files[1]
    content = path.read_bytes()
    path.write_bytes(content[:-7])
    words = f"{path.name} is damaged: expected {len(content)} bytes, found {len(content) - 7}"
    with pytest.raises(UserError, match=f"{words}(.|\n)*Run python -m datasets prepare"):
        prepared_set(images, tmp_path / "p")
    path.unlink()
    with pytest.raises(UserError, match=f"{path.name} cannot be read(.|\n)*datasets prepare"):
        prepared_set(images, tmp_path / "p")
    prepare(images, tmp_path / "p")
    assert path.read_bytes() == content


def test_changed_bytes_are_found_by_the_next_preparation_which_mends_them(tmp_path, images, capsys):
    path = prepare(images, tmp_path / "p", shards=3).files[2]
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)
    mended = prepare(images, tmp_path / "p")
    assert f"{path.name} is damaged: expected {len(content)} bytes" in capsys.readouterr().err
    for index in range(7):
        np.testing.assert_array_equal(mended.load(index), images.load(index))


def test_a_foreign_shard_of_the_same_size_is_refused_when_it_is_read(tmp_path, images):
    prepared = prepare(images, tmp_path / "p", shards=3)
    path = prepared.files[0]
    path.write_bytes(bytes(path.stat().st_size))
    opened = prepared_set(images, tmp_path / "p")
    with pytest.raises(UserError, match=f"{path.name} is damaged: expected image 3 of shape"):
        opened.load(3)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 9, "images": []}'])
def test_an_index_that_is_not_one_is_named(tmp_path, images, text):
    prepared = prepare(images, tmp_path / "p", shards=3)
    (prepared.folder / "index.json").write_text(text)
    with pytest.raises(UserError, match="index.json (.|\n)*python -m datasets prepare"):
        prepared_set(images, tmp_path / "p")
    assert prepare(images, tmp_path / "p", shards=3).index == prepared.index


def test_test_images_are_refused_and_no_set_is_left(tmp_path, images):
    grid = np.frombuffer(bytes.fromhex(BSD68_IMAGES["3096"]), np.uint8).reshape(4, 4)
    photo = np.repeat(np.kron(grid, np.ones((8, 8), np.uint8))[..., None], 3, axis=2)
    write_image(images.paths[4], photo)
    with pytest.raises(UserError, match=r"e\.png is test image 3096"):
        prepare(images, tmp_path / "p", shards=3)
    assert open_prepared(images, tmp_path / "p") is None


@pytest.mark.parametrize("memory_limit", [0, 2**31])
def test_batches_are_bit_identical_to_those_of_the_files(tmp_path, images, memory_limit, capsys):
    # The first images are too small for the crop and left out on either way.
    config = PipelineConfig(6, 26, 0, 50, seed=7, memory_limit=memory_limit)
    plain = TrainingBatches(images, config)

    def skipped():
        return [line for line in capsys.readouterr().err.splitlines() if "is skipped" in line]

    notes = skipped()
    mapped = TrainingBatches(prepared_set(images, tmp_path / "p"), config)
    assert notes and skipped() == notes
    for step in range(5):
        for ours, theirs in zip(mapped.batch(step), plain.batch(step), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_opening_a_prepared_set_for_training_reads_no_pixels(tmp_path, images, monkeypatch):
    prepared = prepare(images, tmp_path / "p", shards=3)
    monkeypatch.setattr(PreparedSet, "load", lambda *_: pytest.fail("pixels were read"))
    TrainingBatches(prepared, PipelineConfig(4, 16, 0, 50))


def test_the_number_of_shards_follows_from_that_of_the_images(tmp_path, images):
    assert [default_shards(count) for count in (1, 16, 432, 10**6)] == [1, 16, 16, 15625]
    for shards in (0, 8):
        with pytest.raises(UserError, match=f"from 1 to .* 7. Received: shards={shards}"):
            prepare(images, tmp_path / "p", shards)


def test_a_folder_that_cannot_be_written_is_reported(tmp_path, images):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--prepared_dir=.*file cannot be written"):
        prepare(images, tmp_path / "file")


def run(arguments):
    return main(["prepare", *arguments])


def test_the_command_prepares_the_training_split(tmp_path, images, capsys):
    own = ["folder", f"--data_dir={tmp_path / 'own'}", f"--prepared_dir={tmp_path}"]
    assert run([*own, "--split=train", "--shards=2"]) == 0
    assert "6 images, " in capsys.readouterr().out
    assert (tmp_path / "folder_train_3/shard-00001-of-00002.tfrecord").is_file()
    assert run([*own, "--split=validation"]) == 2
    assert "`split` must be train" in capsys.readouterr().err
    assert run(["cbsd68", f"--prepared_dir={tmp_path}"]) == 2
    assert "is a test set" in capsys.readouterr().err
    assert run(["sample"]) == 2
    assert "--prepared_dir is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "names", [["index.json"], ["shard-00000-of-00002.tfrecord", "shard-00001-of-00002.tfrecord"]]
)
def test_a_folder_of_other_shards_is_left_as_it_is(tmp_path, images, names):
    folder = prepared_folder(images, tmp_path / "p")
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text('{"mine": 1}')
    with pytest.raises(UserError, match="exists and is not a result"):
        prepare(images, tmp_path / "p", shards=3)
    for name in names:
        assert (folder / name).read_text() == '{"mine": 1}'


def test_shards_of_other_names_stay(tmp_path, images):
    prepare(images, tmp_path / "p", shards=3)
    mine = prepared_folder(images, tmp_path / "p") / "shard-of-mine.tfrecord"
    mine.write_text("mine")
    prepare(images, tmp_path / "p", shards=2)
    left = {path.name for path in mine.parent.glob("*.tfrecord")}
    assert mine.read_text() == "mine" and len(left) == 3
