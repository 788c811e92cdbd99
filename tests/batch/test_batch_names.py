"""Patterns and names of batch inference: what `gradnet denoise` makes of the same words."""

import os

import photo_samples as files
import pytest

from gradnet_tf.batch import batch_steps as steps
from gradnet_tf.batch import storage
from gradnet_tf.batch.batch_names import Source, absolute, matches, may_hold, source_of
from gradnet_tf.cli.denoise_plan import plan_jobs
from gradnet_tf.utils.errors import UserError

NAMES = ("a.jpg", "b.PNG", "sub/c.png", "sub/deep/d.tif", "sub/.hidden/e.png", ".f.png", "g.txt")
NAMES += ("out/a.jpg", "umlaut ä.png")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    for name in NAMES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files.by_opencv(files.noise(4, 4, 3), ".png"))
    # Lists as Beam does; the tests of the whole pipeline use Beam itself.
    monkeypatch.setattr(storage, "list_files", _everything_below)
    return tmp_path / "photos"


def _everything_below(pattern):
    assert pattern.endswith("**")
    start = pattern.removesuffix("**")
    below = (
        os.path.join(place, n) for place, _, all_ in os.walk(os.path.dirname(start)) for n in all_
    )
    return [path for path in below if path.startswith(start)]


def found(text, output):
    """(file, result) of an input as the first step of the pipeline yields them."""
    pairs = (pair for _, pair in steps.find_files(source_of(str(text)), absolute(str(output))))
    return sorted((os.fsdecode(path), os.fsdecode(target)) for path, target in pairs if target)


@pytest.mark.parametrize(
    "pattern",
    [
        "*.jpg",
        "**/*.*",
        "**",
        "**/*.[pt]*",
        "su?/*.png",
        "sub/**/*",
        "sub/**",
        "*",
        "*/*",
        "[a-b].*",
        "sub/.hidden/*.png",
        "**/c.png",
        "a.jpg",
        ".*",
        "",
    ],
)
def test_an_input_means_what_it_means_to_gradnet_denoise(photos, pattern):
    text, output = str(photos / pattern), photos / "out"
    plan = plan_jobs([text], str(output))
    wanted = sorted((str(job.source), str(job.target)) for job in plan.jobs)
    assert wanted and found(text, output) == wanted


@pytest.mark.parametrize("pattern", ["*.bmp", "x/**/*.jpg", "*.txt"])
def test_what_matches_nothing_there_matches_nothing_here(photos, pattern):
    with pytest.raises(UserError, match="matches no images"):
        plan_jobs([str(photos / pattern)], str(photos / "out"))
    assert found(photos / pattern, photos / "out") == []


def test_a_relative_input_is_the_same_in_every_process(photos, monkeypatch):
    monkeypatch.chdir(photos)
    assert source_of("sub/*.png") == Source(f"{photos}/sub/", ("*.png",))
    assert found("*.jpg", "../o") == [(f"{photos}/a.jpg", f"{photos.parent}/o/a.jpg")]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(photos):
    (photos / "a[1].jpg").write_bytes(b"")
    assert found(photos / "a[1].jpg", "/o") == [(f"{photos}/a[1].jpg", "/o/a[1].jpg")]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("gs://b/in/**/*.jpg", Source("gs://b/in/", ("**", "*.jpg"))),
        ("s3://b/in/", Source("s3://b/in/", ("**",))),
        ("s3://b/in/a.jpg", Source("s3://b/in/", ("a.jpg",), is_file=True)),
        ("gs://b/2026-*/x", Source("gs://b/", ("2026-*", "x"))),
    ],
)
def test_inputs_in_object_stores(text, source):
    assert source_of(text) == source


def test_two_stars_stand_for_no_folder_too():
    assert matches(["a"], ["**", "a"]) and matches(["x", "y", "a"], ["**", "a"])
    assert not matches(["x", "b"], ["**", "a"]) and not matches([".x", "a"], ["**", "a"])
    assert not matches(["x", "a"], ["*"]) and not matches([], ["*"])


def test_a_folder_that_cannot_be_read_counts_where_its_files_might():
    assert may_hold([], ("**",)) and may_hold(["a", "b"], ("**", "*.jpg"))
    assert may_hold(["2024"], ("20*", "**", "*.jpg")) and may_hold(["2024", "x"], ("20*", "**"))
    assert not may_hold(["other"], ("20*", "**", "*.jpg"))
    assert not may_hold([".Trash"], ("**",)) and not may_hold(["a", ".Trash"], ("**", "*.jpg"))
    assert may_hold([".Trash"], (".*", "*.jpg")) and not may_hold(["a"], ("*.jpg",))


def test_hidden_and_other_folders_that_cannot_be_read_do_not_fail(photos, tmp_path, monkeypatch):
    lost = [f"{photos}/{name}/*" for name in (".Trash-0", "sub", "other")]
    monkeypatch.setattr(storage, "unlisted", lambda base: lost)
    names = [os.fspath(file) for file, _ in found(photos / "sub*/**", tmp_path / "out")]
    assert [name for name in names if name.endswith("/*")] == [f"{photos}/sub/*"]
