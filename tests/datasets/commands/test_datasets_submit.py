"""Submissions: names, shapes, dtypes and rounding as read back, and going on after a stop."""

import base64
import csv
import json
import sys

import numpy as np
import pytest
import scipy.io
from evaluation_case import Fake
from matlab_case import write_blocks, write_dnd

from datasets.__main__ import main
from datasets.commands import submission
from datasets.commands.submission import Submission
from datasets.sets.catalog import find_dataset
from gradnet_tf.utils.errors import Interrupted, NotFiniteError

NOISY = "BenchmarkNoisyBlocksSrgb"
BOXES = [[(1, 1, 16, 16), (3, 11, 20, 30)], [(25, 41, 40, 56), (1, 1, 2, 3)]]


@pytest.fixture
def sidd(tmp_path):
    """Returns a function that makes a submission of six generated blocks, and the blocks."""
    blocks = write_blocks(tmp_path / "D", (NOISY,))[NOISY]
    image_set = find_dataset("sidd", tmp_path / "D", "benchmark")
    output = tmp_path / "out"
    output.mkdir()
    return lambda denoiser: Submission(denoiser, image_set, output), blocks


def read_csv(path):
    csv.field_size_limit(10**9)
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_sidd_files_have_the_published_names_shapes_and_dtypes(sidd):
    make, blocks = sidd
    made = make(Fake(lambda image: 1 - image, name="negative"))
    mat, table = submission.submit_sidd(made, {"Authors": "A. Nobody"})
    assert (mat.name, table.name) == ("SubmitSrgb.mat", "SubmitSrgb.csv")
    contents = scipy.io.loadmat(mat)
    denoised = contents["DenoisedBlocksSrgb"]
    assert (denoised.shape, denoised.dtype) == ((2, 3, 16, 20, 3), np.uint8)
    np.testing.assert_array_equal(denoised, 255 - blocks)
    time = contents["TimeMPSrgb"]
    assert time.shape == (1, 1) and time.dtype == np.float64 and time[0, 0] > 0
    about = contents["OptionalData"]
    assert about.dtype.names == ("MethodName", "Authors", "PaperTitle", "Venue", "MachineSpecs")
    assert about[0, 0]["MethodName"][0] == "negative" and about[0, 0]["Authors"][0] == "A. Nobody"
    rows = read_csv(table)
    assert list(rows[0]) == ["ID", "BLOCK"] and [row["ID"] for row in rows] == list("012345")
    for number, row in enumerate(rows):
        pixels = np.frombuffer(base64.b64decode(row["BLOCK"]), np.uint8).reshape(16, 20, 3)
        np.testing.assert_array_equal(pixels, 255 - blocks[number // 3, number % 3])
    assert not (made.output / submission.PARTIAL_FILE).exists()


def test_output_is_rounded_half_to_even_and_never_cut_off(sidd):
    make, blocks = sidd
    # In float32 these are exactly 0.5, 1.5 and 2.5 after the product with 255.
    halves = [np.float32(value) / np.float32(255) for value in (0.5, 1.5, 2.5)]
    assert [float(half * np.float32(255)) for half in halves] == [0.5, 1.5, 2.5]
    values = [*halves, 0.9 / 255, 254.6 / 255, -3.0, 7.0]
    expected = [0, 2, 2, 1, 255, 0, 255]

    def paint(image):
        image = np.zeros_like(image)
        image[0, : len(values), 0] = values
        return image

    mat, _ = submission.submit_sidd(make(Fake(paint)), {})
    denoised = scipy.io.loadmat(mat)["DenoisedBlocksSrgb"]
    np.testing.assert_array_equal(denoised[1, 2, 0, : len(values), 0], expected)


class Stops(Fake):
    """A denoiser that a person interrupts at call `at`."""

    def __init__(self, function, at, **more):
        super().__init__(function, **more)
        self.at = at

    def denoise(self, images, sigma=None):
        if len(self.given) == self.at:
            raise KeyboardInterrupt
        return super().denoise(images, sigma)


def test_a_stopped_sidd_submission_goes_on_where_it_was(sidd, capsys):
    make, blocks = sidd
    with pytest.raises(Interrupted, match="4 of 6 images are denoised.\nRun the same command"):
        submission.submit_sidd(make(Stops(lambda image: image, at=5)), {})
    output = make(None).output
    record = json.loads((output / "submission.json").read_text())
    assert record["done"] == 4 and not record["complete"]
    assert not (output / "SubmitSrgb.mat").exists()
    second = Fake(lambda image: image)
    mat, _ = submission.submit_sidd(make(second), {})
    assert len(second.given) == 1 + 2  # the call that compiles, and the two blocks that lacked
    np.testing.assert_array_equal(scipy.io.loadmat(mat)["DenoisedBlocksSrgb"], blocks)
    third = Fake(lambda image: image)
    submission.submit_sidd(make(third), {})
    assert third.given == [] and "nothing to do" in capsys.readouterr().out


def test_blocks_of_another_model_are_never_taken_for_ones_own(sidd, monkeypatch):
    """A killed run of another model leaves its blocks, and no record that they are another's."""
    make, blocks = sidd
    with pytest.raises(Interrupted):
        submission.submit_sidd(make(Stops(lambda image: 1 - image, at=5, name="mine")), {})

    def kill(*_):
        # SIGKILL leaves no time for a record.
        monkeypatch.setattr(Submission, "write", lambda *_, **__: None)
        raise SystemExit

    with monkeypatch.context() as begun:
        begun.setattr(submission, "denoise_all", kill)
        with pytest.raises(SystemExit):
            submission.submit_sidd(make(Fake(lambda image: image, name="other")), {})
    monkeypatch.undo()
    mat, _ = submission.submit_sidd(make(Fake(lambda image: 1 - image, name="mine")), {})
    np.testing.assert_array_equal(scipy.io.loadmat(mat)["DenoisedBlocksSrgb"], 255 - blocks)


def test_texts_can_be_given_after_the_end(sidd, capsys):
    make, blocks = sidd
    negative = make(Fake(lambda image: 1 - image, name="negative"))
    submission.submit_sidd(negative, {})
    capsys.readouterr()
    mat, _ = submission.submit_sidd(negative, {"Authors": "A. Nobody"})
    assert "has the new texts" in capsys.readouterr().out
    contents = scipy.io.loadmat(mat)
    np.testing.assert_array_equal(contents["DenoisedBlocksSrgb"], 255 - blocks)
    assert contents["TimeMPSrgb"].shape == (1, 1)
    about = contents["OptionalData"][0, 0]
    assert (about["Authors"][0], about["MethodName"][0]) == ("A. Nobody", "negative")
    submission.submit_sidd(negative, {"Authors": "A. Nobody"})
    assert "nothing to do" in capsys.readouterr().out


def test_another_model_starts_again(sidd, capsys):
    make, blocks = sidd
    with pytest.raises(Interrupted):
        submission.submit_sidd(make(Stops(lambda image: image, at=4)), {})
    other = Fake(lambda image: 1 - image, name="other")
    mat, _ = submission.submit_sidd(make(other), {})
    assert len(other.given) == 7 and "starting over" in capsys.readouterr().err
    np.testing.assert_array_equal(scipy.io.loadmat(mat)["DenoisedBlocksSrgb"], 255 - blocks)


@pytest.mark.parametrize("name", ["submission.json", "blocks.partial.npy"])
def test_damaged_leftovers_start_again(sidd, name):
    make, blocks = sidd
    with pytest.raises(Interrupted):
        submission.submit_sidd(make(Stops(lambda image: image, at=4)), {})
    path = make(None).output / name
    path.write_bytes(path.read_bytes()[:60])
    mat, _ = submission.submit_sidd(make(Fake(lambda image: image)), {})
    np.testing.assert_array_equal(scipy.io.loadmat(mat)["DenoisedBlocksSrgb"], blocks)


def test_nan_ends_it_with_the_name_of_the_image(sidd):
    make, _ = sidd
    with pytest.raises(NotFiniteError, match="0001_01: the output of fake contains NaN"):
        submission.submit_sidd(make(Fake(lambda image: image * np.nan)), {})


def test_a_denoiser_with_a_noise_level_gets_an_estimate(sidd, capsys):
    make, _ = sidd
    denoiser = Fake(lambda image: image)
    denoiser.needs_sigma = True
    submission.submit_sidd(make(denoiser), {})
    assert all(sigma is not None and sigma > 0 for sigma in denoiser.sigmas)


@pytest.fixture
def dnd(tmp_path):
    images = write_dnd(tmp_path / "D", BOXES)
    image_set = find_dataset("dnd", tmp_path / "D")
    (tmp_path / "out").mkdir()
    return lambda denoiser: Submission(denoiser, image_set, tmp_path / "out"), images


def test_dnd_bundles_are_what_the_benchmarks_own_script_makes(dnd, tmp_path):
    make, images = dnd
    bundles = submission.submit_dnd(make(Fake(lambda image: image * np.float32(0.5))))
    assert [path.name for path in bundles] == ["0001.mat", "0002.mat"]
    for bundle, image, boxes in zip(bundles, images, BOXES, strict=True):
        # As bundle_submissions_srgb: a cell array of the crops' own files.
        cells = np.zeros((2,), dtype=object)
        for number, (top, left, bottom, right) in enumerate(boxes):
            crop = tmp_path / f"out/{bundle.stem}_{number + 1:02d}.mat"
            cells[number] = scipy.io.loadmat(crop)["Idenoised_crop"]
            expected = image[top - 1 : bottom, left - 1 : right] * np.float32(0.5)
            np.testing.assert_array_equal(cells[number], expected)  # not rounded
            assert cells[number].dtype == np.float32
        reference = tmp_path / "reference.mat"
        contents = {"Idenoised": cells, "israw": False, "eval_version": "1.0"}
        scipy.io.savemat(reference, contents)
        found, wanted = scipy.io.loadmat(bundle), scipy.io.loadmat(reference)
        for key in ("Idenoised", "israw", "eval_version"):
            assert found[key].shape == wanted[key].shape and found[key].dtype == wanted[key].dtype
        assert found["Idenoised"].shape == (1, 2) and found["israw"].tolist() == [[0]]
        for ours, theirs in zip(found["Idenoised"][0], wanted["Idenoised"][0], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_stopped_dnd_submission_goes_on_and_another_model_does_not(dnd):
    make, images = dnd
    with pytest.raises(Interrupted, match="2 of 4"):
        submission.submit_dnd(make(Stops(lambda image: image, at=3)))
    second = Fake(lambda image: image)
    bundles = submission.submit_dnd(make(second))
    assert len(second.given) == 1 + 2 and len(bundles) == 2
    other = Fake(lambda image: image * 0, name="other")
    bundles = submission.submit_dnd(make(other))
    assert len(other.given) == 5
    assert not scipy.io.loadmat(bundles[1])["Idenoised"][0, 0].any()


def run(*arguments):
    return main(["submit", *arguments])


def test_the_command_writes_a_submission_of_a_classical_denoiser(tmp_path, capsys):
    write_blocks(tmp_path / "D", (NOISY,), (1, 2, 16, 16, 3))
    write_dnd(tmp_path / "E", [[(1, 1, 16, 16)]])
    out = tmp_path / "out"
    common = (f"--output={out}", "--model=opencv_nlm")
    assert run("sidd", f"--data_dir={tmp_path / 'D'}", *common, "--Venue=here") == 0
    contents = scipy.io.loadmat(out / "SubmitSrgb.mat")
    assert contents["DenoisedBlocksSrgb"].shape == (1, 2, 16, 16, 3)
    assert contents["OptionalData"][0, 0]["Venue"][0] == "here"
    assert "command" in json.loads((out / "submission.json").read_text())
    common = (f"--output={tmp_path / 'dnd'}", "--model=opencv_nlm")
    assert run("dnd", f"--data_dir={tmp_path / 'E'}", *common) == 0
    assert (tmp_path / "dnd/bundled/0001.mat").is_file()
    assert "Submit the content of" in capsys.readouterr().out


def test_mistakes_are_reported_without_a_traceback(tmp_path, capsys, monkeypatch):
    write_blocks(tmp_path / "D", (NOISY,), (1, 1, 16, 16, 3))
    common = ("sidd", f"--data_dir={tmp_path / 'D'}", "--model=opencv_nlm")
    (tmp_path / "file").write_text("")
    assert run(*common, f"--output={tmp_path / 'file'}") == 2
    assert "cannot be created" in capsys.readouterr().err
    assert run("sidd", f"--data_dir={tmp_path}/none", "--model=default", "--output=x") == 2
    assert "does not exist" in capsys.readouterr().err
    assert run(*common, "--output=x", "--precision=float8") == 2
    assert "`precision` must be one of" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["submit", "sidd", "--output=x"])
    assert "error: the following arguments are required" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    assert run(*common, "--output=x") == 2
    assert 'pip install ".[mat]"' in capsys.readouterr().err
    # Reading needs none.
    assert find_dataset("sidd", tmp_path / "D", "benchmark").noisy(0).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("benchmark", "name"),
    [
        ("sidd", "SubmitSrgb.mat"),
        ("sidd", "SubmitSrgb.csv"),
        ("sidd", "submission.json"),
        ("dnd", "0001_01.mat"),
        ("dnd", "bundled/0002.mat"),
    ],
)
def test_files_of_no_submission_are_left_as_they_are(tmp_path, capsys, benchmark, name):
    if benchmark == "sidd":
        write_blocks(tmp_path / "D", (NOISY,))
    else:
        write_dnd(tmp_path / "D", BOXES)
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text('{"mine": 1}')
    given = [benchmark, "--model=opencv_nlm", f"--data_dir={tmp_path / 'D'}"]
    assert main(["submit", *given, f"--output={tmp_path / 'out'}"]) == 2
    assert f"{mine} exists" in capsys.readouterr().err
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == '{"mine": 1}'
