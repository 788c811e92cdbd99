"""SIDD: scene folders, block files, and each thing that can be wrong with them."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io
from matlab_case import SCENE, random_uint8, write_blocks, write_hdf5, write_scenes

from datasets.__main__ import main as datasets_main
from datasets.pipeline.batches import PipelineConfig, TrainingBatches
from datasets.pipeline.stream import TrainingInput
from datasets.sets.catalog import find_dataset, find_training_sets
from datasets.shards.shard_files import open_prepared
from datasets.shards.shard_writer import prepare
from gradnet_tf.images.image_files import read_image, write_image
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.utils.errors import UserError

NOISY, CLEAN = "ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"
BENCHMARK = "BenchmarkNoisyBlocksSrgb"


@pytest.mark.parametrize("version", [5, 7.3])
@pytest.mark.parametrize("below", ["sidd", "SIDD/SIDD_Validation_sRGB", ""])
def test_each_block_of_the_validation_files_is_an_image(tmp_path, version, below, capsys):
    arrays = write_blocks(tmp_path / below, (NOISY, CLEAN), version=version)
    found = find_dataset("sidd", tmp_path)
    assert (found.split, found.has_clean) == ("validation", True)
    assert found.names == ["0001_01", "0001_02", "0001_03", "0002_01", "0002_02", "0002_03"]
    for index, place in ((0, (0, 0)), (2, (0, 2)), (4, (1, 1))):
        np.testing.assert_array_equal(found.load(index), arrays[CLEAN][place])
        np.testing.assert_array_equal(found.noisy(index), arrays[NOISY][place])
    assert found.load(5).dtype == np.uint8 and found.load(5).flags["C_CONTIGUOUS"]
    assert "SIDD validation has 1280 images, but 6 were found" in capsys.readouterr().err
    first = found.first(4)
    np.testing.assert_array_equal(first.noisy(3), arrays[NOISY][1, 0])
    assert find_dataset("sidd", tmp_path, channels=1).noisy(0).shape == (16, 20, 1)


def test_the_full_set_has_1280_names(tmp_path, capsys):
    write_blocks(tmp_path, (NOISY, CLEAN), (40, 32, 1, 1, 3))
    found = find_dataset("sidd", tmp_path)
    assert len(found) == 1280 and (found.names[0], found.names[-1]) == ("0001_01", "0040_32")
    assert found.names == sorted(found.names) and capsys.readouterr().err == ""


def test_the_benchmark_has_noisy_blocks_alone(tmp_path):
    arrays = write_blocks(tmp_path / "sidd", (BENCHMARK,))
    found = find_dataset("sidd", tmp_path, "benchmark")
    assert not found.has_clean
    np.testing.assert_array_equal(found.noisy(5), arrays[BENCHMARK][1, 2])
    with pytest.raises(UserError, match="has no clean images"):
        found.load(0)


def test_a_single_pair_counts_as_a_set(tmp_path):
    noisy, clean = random_uint8((8, 9, 3), 1), random_uint8((8, 9, 3), 2)
    (tmp_path / "sidd/DANet").mkdir(parents=True)
    scipy.io.savemat(tmp_path / "sidd/DANet/noisy.mat", {"im_noisy": noisy})
    scipy.io.savemat(tmp_path / "sidd/DANet/gt.mat", {"im_gt": clean})
    found = find_dataset("sidd", tmp_path)
    assert found.names == ["DANet"]
    np.testing.assert_array_equal(found.load(0), clean)
    np.testing.assert_array_equal(found.noisy(0), noisy)


def damage(path, kind):
    """Makes a whole block file wrong in one way."""
    content = path.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("<html>quota exceeded</html>" * 20)
    elif kind == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "header only":
        path.write_bytes(content[:128])
    elif kind == "double":
        scipy.io.savemat(path, {CLEAN: np.zeros((2, 3, 16, 20, 3))})
    elif kind == "grey":
        scipy.io.savemat(path, {CLEAN: np.zeros((2, 3, 16, 20), np.uint8)})
    elif kind == "smaller":
        scipy.io.savemat(path, {CLEAN: np.zeros((2, 2, 16, 20, 3), np.uint8)})
    elif kind == "other name":
        scipy.io.savemat(path, {"blocks": np.zeros((2, 3, 16, 20, 3), np.uint8)})
    elif kind == "hdf5 cut off":
        write_hdf5(path, CLEAN, random_uint8((2, 3, 16, 20, 3)))
        path.write_bytes(path.read_bytes()[:-500])
    elif kind == "missing":
        path.unlink()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "damaged, truncated or not a MATLAB file"),
        ("text", "damaged, truncated or not a MATLAB file"),
        ("cut off", "bytes, where its own lengths ask for"),
        ("header only", "bytes, where its own lengths ask for"),
        ("hdf5 cut off", "damaged, truncated or not a MATLAB file: .*truncated"),
        ("double", r"is float64 of shape \(2, 3, 16, 20, 3\); expected uint8 of shape \(40, 32"),
        ("grey", r"is uint8 of shape \(2, 3, 16, 20\); expected uint8"),
        ("smaller", r"has shape \(2, 3, 16, 20, 3\) and .* has shape \(2, 2, 16, 20, 3\)"),
        ("other name", "has no variable ValidationGtBlocksSrgb; it has blocks"),
        ("missing", "ValidationGtBlocksSrgb.mat, the partner of the blocks in .*, is missing"),
    ],
)
def test_a_wrong_block_file_is_named(tmp_path, kind, message):
    write_blocks(tmp_path / "sidd", (NOISY, CLEAN))
    damage(tmp_path / "sidd" / f"{CLEAN}.mat", kind)
    with pytest.raises(UserError, match=message) as caught:
        find_dataset("sidd", tmp_path)
    assert CLEAN in str(caught.value) and str(caught.value).count("\n") <= 2


def test_damage_inside_the_compressed_numbers_is_found(tmp_path):
    write_blocks(tmp_path, (NOISY, CLEAN))
    path = tmp_path / f"{CLEAN}.mat"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    # Found with the file where the head is large against the array, as here, else when it is read.
    with pytest.raises(UserError, match="GtBlocksSrgb.mat: damaged, truncated or not"):
        find_dataset("sidd", tmp_path).load(0)


def test_no_files_at_all_says_which_and_where_from(tmp_path):
    for split, what in (("validation", NOISY), ("benchmark", BENCHMARK), ("train", "NOISY_SRGB")):
        with pytest.raises(UserError, match=what) as caught:
            find_dataset("sidd", tmp_path, split)
        assert "abdokamel.github.io/sidd" in str(caught.value)


@pytest.fixture
def scenes(tmp_path):
    folder = tmp_path / "SIDD_Medium_Srgb/Data"
    write_scenes(folder, ((1, 1), (191, 8), (192, 9), (200, 10)))
    return folder


def test_scenes_9_and_10_are_held_out_of_training(scenes, capsys):
    train, held_out = find_training_sets("sidd", scenes.parent.parent)
    assert train.names == ["0001_010.png", "0001_011.png", "0191_010.png", "0191_011.png"]
    assert held_out.names == ["0192_010.png", "0192_011.png", "0200_010.png", "0200_011.png"]
    assert "SIDD train has 302 images, but 4 were found" in capsys.readouterr().err
    place = scenes / SCENE.format(191, 8)
    expected = read_image(place / "0191_GT_SRGB_011.PNG")
    np.testing.assert_array_equal(train.load(3), expected)
    expected = read_image(place / "0191_NOISY_SRGB_011.PNG")
    np.testing.assert_array_equal(train.noisy(3), expected)
    assert find_dataset("sidd", scenes, "train").names == train.names  # the folder itself


def test_frames_in_one_folder_and_without_numbers_are_found(scenes, tmp_path):
    flat, small = tmp_path / "flat", tmp_path / "small/Data"
    flat.mkdir()
    for path in scenes.rglob("*.PNG"):
        shutil.copy(path, flat / path.name)
        place = small / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / path.name[5:])  # the small set's: GT_SRGB_010.PNG
    expected = find_dataset("sidd", scenes, "train")
    for folder in (flat, small):
        found = find_dataset("sidd", folder, "train")
        assert found.names == expected.names
        np.testing.assert_array_equal(found.noisy(2), expected.noisy(2))


def test_wrong_frames_are_named(scenes):
    place = scenes / SCENE.format(1, 1)
    noisy, clean = place / "0001_NOISY_SRGB_010.PNG", place / "0001_GT_SRGB_010.PNG"
    kept = clean.read_bytes()

    def message():
        with pytest.raises(UserError) as caught:
            find_dataset("sidd", scenes, "train")
        return str(caught.value)

    clean.unlink()
    assert f"{noisy} has no partner GT_SRGB beside it" in message()
    clean.write_bytes(b"")
    assert f"{clean} is empty, truncated or not a PNG file" in message()
    write_image(place / "other.png", random_uint8((24, 33, 3)))
    (place / "other.png").rename(clean)
    assert "has (32, 24) pixels and 0001_GT_SRGB_010.PNG (33, 24)" in message()
    clean.write_bytes(kept)
    renamed = noisy.rename(place / "0002_NOISY_SRGB_010.PNG")
    assert f"{renamed} is named after scene instance 0002 but is in the folder of" in message()
    renamed.rename(noisy)
    shutil.copytree(scenes, scenes.parent / "copy")
    with pytest.raises(UserError, match="are the same frame"):
        find_dataset("sidd", scenes.parent, "train")
    clean.write_bytes(kept[:-200])
    with pytest.raises(UserError, match="0001_GT_SRGB_010.PNG"):
        find_dataset("sidd", scenes, "train").load(0)


def test_extra_files_change_nothing(scenes):
    (scenes / "Scene_Instances.txt").write_text("0001_001")
    (scenes / SCENE.format(1, 1) / "0001_METADATA_RAW_010.MAT").write_bytes(b"raw")
    (scenes / ".DS_Store").write_bytes(b"")
    assert len(find_dataset("sidd", scenes, "train")) == 4


def test_a_part_of_the_set_without_held_out_scenes_reports_it(tmp_path):
    write_scenes(tmp_path, ((1, 1),))
    with pytest.raises(UserError, match="has no scene instance from 0192 on"):
        find_dataset("sidd", tmp_path, "held_out")


def test_the_real_pair(data_dir):
    found = find_dataset("sidd", data_dir)
    noisy, clean = found.noisy(0).astype(float), found.load(0).astype(float)
    assert clean.shape == (256, 256, 3)
    assert 15 < 10 * np.log10(255**2 / np.mean((noisy - clean) ** 2)) < 45


def test_prepared_frames_keep_their_noisy_partners(scenes, tmp_path):
    tf = pytest.importorskip("tensorflow")
    images, _ = find_training_sets("sidd", scenes)
    prepared = prepare(images, tmp_path / "p", shards=3)
    assert prepared.paired and prepared.folder.name == "sidd_train_3"
    config = PipelineConfig(batch_size=6, crop_size=16, sigma_min=0, sigma_max=0, seed=3)
    direct, mapped = TrainingBatches(images, config), TrainingBatches(prepared, config)
    assert mapped.has_real_noise
    for step in (0, 7):
        for ours, theirs in zip(mapped.batch(step), direct.batch(step), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    records = sum(1 for _ in tf.data.TFRecordDataset(list(map(str, prepared.files))))
    assert records == len(images) == 4
    # A noisy file that changed makes the shards those of other images.
    noisy = images.sources(0)[1]
    noisy.write_bytes(noisy.read_bytes() + b"\0")
    with pytest.raises(UserError, match="was made from other images"):
        open_prepared(images, tmp_path / "p")


def test_the_commands_prepare_and_list_know_the_pairs(scenes, tmp_path, capsys):
    pytest.importorskip("tensorflow")
    command = ["prepare", "sidd", f"--data_dir={scenes}", f"--prepared_dir={tmp_path / 'p'}"]
    assert datasets_main(command) == 0
    assert "4 images" in capsys.readouterr().out
    assert datasets_main(command) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert datasets_main(["list"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "no clean" in rows["dnd"] and "no clean" not in rows["sidd"]


def test_partners_of_another_size_are_not_prepared(scenes, tmp_path):
    pytest.importorskip("tensorflow")
    images, _ = find_training_sets("sidd", scenes)
    write_image(tmp_path / "other.png", random_uint8((24, 40, 3)))
    shutil.copy(tmp_path / "other.png", images.sources(1)[1])
    with pytest.raises(UserError, match="0001_011.png of sidd: the noisy image has shape"):
        prepare(images, tmp_path / "p")


def test_a_run_reads_pairs_from_shards_and_the_service_refuses_them(scenes, tmp_path):
    pytest.importorskip("tensorflow")
    config = TrainConfig(dataset="sidd", sigma_min=0, sigma_max=0, batch_size=2, crop_size=16)
    input_ = TrainingInput(config, str(scenes), str(tmp_path / "p"))
    batches = input_.batch_maker(SimpleNamespace(index=0, size=1))(0)
    noisy, clean = next(iter(batches))
    assert noisy.shape == clean.shape == (2, 16, 16, 3)
    assert (tmp_path / "p/sidd_train_3/index.json").is_file()
    serviced = TrainingInput(config, str(scenes), str(tmp_path / "p"), "grpc://localhost:1")
    with pytest.raises(UserError, match="Received: --dataset=sidd, whose noise is real"):
        serviced.batch_maker(SimpleNamespace(index=0, size=1))
