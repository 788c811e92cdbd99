"""Free photographs: their manifest, splits and licences, the guard over them, and their page."""

import re
from pathlib import Path

import numpy as np
import pytest

from datasets.__main__ import main
from datasets.commands.free_photos_page import make_page
from datasets.pipeline.batches import TrainingBatches
from datasets.pipeline.leak_guard import make_guard
from datasets.pipeline.mixture import at_scales
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.sets.catalog import find_dataset, find_training_sets, get_info
from datasets.sets.free_photos import (
    MANIFEST,
    VALIDATION_IMAGES,
    find_root,
    is_permissive,
    read_manifest,
)
from gradnet_tf.images.image_files import write_image
from gradnet_tf.utils.errors import UserError

ROWS = ("free_photos", "free_photos_cc_by")
HEAD = "file\twidth\theight\toriginal_width\toriginal_height\tlicence\tauthor\tsource"
HEAD += "\toriginal_sha256"
LICENCES = {
    "budgie__b.jpg": "CC0-1.0",
    "cid22__c.jpg": "CC-BY-SA-4.0",
    "lomiri__a.jpg": "CC-BY-4.0",
    "ubuntu_mate__d.jpg": "CC-BY-SA-4.0 (debian/copyright); Unsplash before 8 June 2017",
    "cid22__1147124.jpg": "CC-BY-SA-4.0",
    "cid22__60003.jpg": "CC-BY-SA-4.0",
}
PAGE = Path(__file__).resolve().parents[3] / "docs/free_photos.md"


def line(name, licence):
    return f"{name}\t32\t24\t64\t48\t{licence}\tAn_Author\towner/repository {name}\t{'5e' * 32}"


def write_manifest(root, licences=LICENCES, head=HEAD):
    text = "\n".join([head, *(line(*item) for item in licences.items())])
    (root / MANIFEST).write_text(text + "\n", "utf-8")


@pytest.fixture
def root(make_images):
    """D/free_photos with six photographs, two of them for validation."""
    root = make_images("D/free_photos/train", list(LICENCES)).parent
    write_manifest(root)
    return root


def test_the_permissive_row_trains_on_cc0_and_cc_by_and_both_validate_on_the_same(root):
    training, validation = find_training_sets("free_photos", root.parent)
    assert training.names == [
        "budgie__b.jpg",
        "cid22__c.jpg",
        "lomiri__a.jpg",
        "ubuntu_mate__d.jpg",
    ]
    permissive, same = find_training_sets("free_photos_cc_by", root.parent)
    assert permissive.names == ["budgie__b.jpg", "lomiri__a.jpg"]
    assert validation.names == same.names == ["cid22__1147124.jpg", "cid22__60003.jpg"]
    assert training.load(0).shape == (24, 32, 3)
    assert find_training_sets("free_photos", root, 1)[0].load(0).shape == (24, 32, 1)


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("CC0", True),
        ("CC0 1.0", True),
        ("CC0-1.0", True),
        ("CC0 (Unsplash before 8 June 2017, debian/copyright)", True),
        ("CC-BY-2.0", True),
        ("CC-BY-4.0 (debian/copyright)", True),
        ("CC-BY-SA-4.0", False),
        ("CC-BY-SA 4.0", False),
        ("CC-BY-NC-4.0", False),
        ("CC-BY-4.0-NC", False),
        ("CC-BY", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_only_cc0_and_cc_by_ask_for_attribution_at_most(licence, free):
    assert is_permissive(licence) is free


@pytest.mark.parametrize("name", ROWS)
def test_a_missing_folder_manifest_or_photograph_is_one_clear_error(root, name):
    with pytest.raises(UserError, match=f"dataset {name} is not in --data_dir=.*\n.*free_photos"):
        find_dataset(name, root / "train")
    (root / "train/lomiri__a.jpg").unlink()
    missing = r"lomiri__a\.jpg is missing, but .*manifest\.tsv lists it\.\nTo get it: .*docs/free"
    with pytest.raises(UserError, match=missing):
        find_training_sets(name, root.parent)
    (root / MANIFEST).unlink()
    for place in (root.parent, root):
        with pytest.raises(UserError, match=r"free_photos/manifest\.tsv is missing.*\nTo get it"):
            find_dataset(name, place)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a table of photographs.\nExpected a header line with the columns file, lic"),
        (b"just\twords\na\tb\n", "is not a table of photographs"),
        (b"\xff\xfe\x00", "cannot be read"),
        ((HEAD + "\na.jpg\t1\t1\n").encode(), "without a file's name, licence or source: 'a.jpg'"),
        ((HEAD + "\n" + line("../a.jpg", "CC0")).encode(), "licence or source: '../a.jpg'"),
        ((HEAD + 2 * ("\n" + line("a.jpg", "CC0"))).encode(), "lists a.jpg twice"),
    ],
    ids=["empty", "other table", "bytes", "short line", "outside", "twice"],
)
def test_what_is_not_a_manifest_is_reported(root, content, words):
    (root / MANIFEST).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        find_dataset("free_photos", root.parent)
    assert "manifest.tsv" in str(caught.value) and len(str(caught.value).splitlines()) <= 3


def test_a_manifest_without_photographs_of_a_split_is_refused(root):
    write_manifest(root, {"cid22__c.jpg": "CC-BY-SA-4.0"})
    with pytest.raises(UserError, match="lists no photograph for free_photos validation"):
        find_dataset("free_photos", root.parent)
    with pytest.raises(UserError, match="lists no photograph for free_photos_cc_by train"):
        find_dataset("free_photos_cc_by", root.parent, "train")


def test_quotation_marks_in_a_manifest_are_letters(root):
    text = (root / MANIFEST).read_text("utf-8").replace("An_Author", 'The "One')
    (root / MANIFEST).write_text(text, "utf-8")
    rows = read_manifest(root / MANIFEST)
    assert len(rows) == 6 and {row["author"] for row in rows} == {'The "One'}


CONFIG = PipelineConfig(batch_size=2, crop_size=16, sigma_min=25, sigma_max=25)


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 0.5), (0.6,)])
@pytest.mark.parametrize("name", ["cbsd68", "bsd68", "set12", "sample"])
def test_test_images_among_the_photographs_are_refused(root, request, name, scales):
    place = None if name == "sample" else request.getfixturevalue("data_dir")
    tests = find_dataset(name, place, split="test", warn=False)
    # JPEG would change the pixels; the decoder looks at the content, not at the name.
    write_image(root / "copy.png", tests.load(len(tests) - 1))
    (root / "copy.png").replace(root / "train/lomiri__a.jpg")
    for row in ROWS:
        training, _ = find_training_sets(row, root.parent)
        images = at_scales(training, scales)
        with pytest.raises(UserError, match=r"lomiri__a\.jpg is (a )?test image"):
            TrainingBatches(images, CONFIG, make_guard(root.parent))


def test_a_mixtures_originals_are_guarded_too(root):
    from datasets.pipeline.mixture import find_training_mixture

    write_image(root / "copy.png", find_dataset("sample", split="test").load(0))
    (root / "copy.png").replace(root / "train/lomiri__a.jpg")
    images, _ = find_training_mixture("free_photos_cc_by:2,drawings:1", root.parent)
    with pytest.raises(UserError, match=r"lomiri__a\.jpg is a test image of sample"):
        TrainingBatches(at_scales(images, (0.7, 0.5)), CONFIG, make_guard(root.parent))


def test_the_page_credits_every_photograph_once(root, capsys):
    assert main(["free_photos_page", f"--data_dir={root.parent}"]) == 0
    page = capsys.readouterr().out
    assert page == make_page(read_manifest(root / MANIFEST))
    rows = [text for text in page.splitlines() if text.startswith("| `") and "__" in text]
    assert len(rows) == 6
    assert "- An Author: `a.jpg`, Lomiri, CC-BY-4.0" in page
    assert "`free_photos` (6 photographs) and `free_photos_cc_by` (2 of them" in page
    (marked, other) = [text for text in rows if "*validation*" in text]
    assert "cid22__1147124.jpg" in marked and "cid22__60003.jpg" in other
    assert "| 32×24 | CC-BY-4.0 | An Author | `owner/repository lomiri__a.jpg` | 64×48, " in page


def test_a_manifest_that_makes_no_page_is_reported(root, capsys):
    write_manifest(root, {"elsewhere__a.jpg": "CC0"})
    assert main(["free_photos_page", f"--data_dir={root.parent}"]) == 2
    error = capsys.readouterr().err
    assert "elsewhere__a.jpg is incomplete" in error and "Traceback" not in error
    assert main(["free_photos_page", f"--data_dir={root / 'train'}"]) == 2


def documented():
    """The rows of docs/free_photos.md: name → the other cells."""
    rows = re.findall(r"^\| `([^`]+__[^`]+)` \| (.*) \|$", PAGE.read_text("utf-8"), re.M)
    assert len(rows) == len(dict(rows))
    return {name: cells.split(" | ") for name, cells in rows}


def test_the_documented_photographs_are_the_sets(root):
    rows, info = documented(), get_info("free_photos")
    assert len(rows) == sum(info.counts.values())
    assert {name for name, cells in rows.items() if "*validation*" in cells[1]} == VALIDATION_IMAGES
    licences = {name: cells[1] for name, cells in rows.items() if "*val" not in cells[1]}
    permissive = [name for name, licence in licences.items() if is_permissive(licence)]
    assert len(permissive) == get_info("free_photos_cc_by").counts["train"] == 78
    text = PAGE.read_text("utf-8")
    for name in permissive:
        if licences[name].startswith("CC-BY"):
            author = rows[name][2]
            assert author not in ("not stated", "as in the file's name")
            assert f"- {author}: `{name.partition('__')[2]}`, " in text
    for cells in rows.values():
        assert re.fullmatch(r"\d+×\d+, `[0-9a-f]{16}`", cells[4])
        assert len(cells[3]) > 10


def test_the_page_is_made_of_the_manifest(data_dir):
    root = find_root(get_info("free_photos"), data_dir)
    message = "run python -m datasets free_photos_page --data_dir=DATA > docs/free_photos.md"
    assert make_page(read_manifest(root / MANIFEST)) == PAGE.read_text("utf-8"), message


def test_the_published_photographs_are_all_there_and_no_split_shares_a_file(data_dir, capsys):
    by_licence = {
        row["file"]: row["licence"]
        for row in read_manifest(find_root(get_info("free_photos"), data_dir) / MANIFEST)
    }
    sets = {name: find_training_sets(name, data_dir) for name in ROWS}
    assert "scores will not be comparable" not in capsys.readouterr().err
    for name, (training, validation) in sets.items():
        assert len(training) == get_info(name).counts["train"]
        assert set(validation.names) == VALIDATION_IMAGES and len(validation) == 16
        assert not set(training.paths) & set(validation.paths)
    permissive = sets["free_photos_cc_by"][0]
    assert set(permissive.names) < set(sets["free_photos"][0].names)
    assert all(
        re.match(r"CC0|CC-BY-[24]", by_licence[name]) and "SA" not in by_licence[name]
        for name in permissive.names
    )
    sizes = [image.shape for image in map(permissive.load, (0, 40, 77))]
    assert all(max(size) >= 576 and size[2] == 3 for size in sizes)


def test_no_published_photograph_is_a_test_image(data_dir):
    guard = make_guard(data_dir)
    training, validation = find_training_sets("free_photos", data_dir)
    # All at the scale 1 would take minutes to decode; every ninth, and all of validation.
    for image_set, step in ((training, 9), (validation, 1)):
        for index in range(0, len(image_set), step):
            assert guard.find(np.asarray(image_set.load(index))) is None
