"""The fuzzer's own parts: its files are good, its mutants are not all, and it counts right."""

import numpy as np
import pytest

from benchmarks.robustness import fuzz_photos
from gradnet_tf.utils.errors import UserError


@pytest.fixture(scope="module")
def made():
    return fuzz_photos.make_files()


def test_the_files_it_mutates_are_photographs(made):
    assert {fuzz_photos.outcome(data) for data in made.values()} == {"read"}


def test_a_mutant_is_made_again_by_its_number(made):
    for data in made.values():
        first, second = (fuzz_photos.mutate(data, np.random.default_rng((0, 5))) for _ in range(2))
        assert first == second != data


def test_checksums_are_mended(made):
    data = bytearray(made["png"])
    data[data.index(b"IDAT") + 20] ^= 1
    mended = fuzz_photos.with_checksums(bytes(data))
    assert mended != bytes(data) and fuzz_photos.with_checksums(mended) == mended
    assert fuzz_photos.with_checksums(made["png"]) == made["png"]


def test_a_crash_is_not_taken_for_a_refusal(monkeypatch, made):
    from gradnet_tf.images import photo_files as files

    def broken(photo, quality):
        raise IndexError("a mistake in a writer")

    monkeypatch.setattr(files._MODULES["bmp"], "write", broken)
    with pytest.raises(UserError, match=r"cannot be written as BMP \(a mistake in a writer\)"):
        fuzz_photos.outcome(made["bmp"])
