"""Seconds per image leave out the first, which also pays for the compilation."""

from types import SimpleNamespace

import pytest
from evaluation_case import Fake, Images, photographs

from gradnet_tf.evaluation import evaluate_set


@pytest.mark.parametrize(("count", "expected"), [(1, 10.0), (3, 1.5)])
def test_the_first_image_counts_only_where_it_is_the_only_one(monkeypatch, count, expected):
    clock, taken = SimpleNamespace(now=0.0), iter([10.0, 1.0, 2.0])
    monkeypatch.setattr(evaluate_set, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def denoise(image):
        clock.now += next(taken)
        return image

    images = Images(photographs(count))
    result = evaluate_set.evaluate(Fake(denoise), images, evaluate_set.EvaluateConfig())
    assert [row["seconds"] for row in result["images"]] == [10.0, 1.0, 2.0][:count]
    assert result["seconds_per_image"] == expected
