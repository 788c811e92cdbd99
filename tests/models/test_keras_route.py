"""Keras' own compile and fit on a new GradNet, as README shows them."""

import re
from pathlib import Path

import numpy as np
from keras import ops

README = Path(__file__).parents[2] / "README.md"


def test_readmes_snippet_trains_the_naive_denoiser_and_the_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    (snippet,) = (block for block in blocks if "model.fit" in block)
    snippet = snippet.replace("gradnet_small", "gradnet_tiny").replace("epochs=10", "epochs=2")
    start, train = snippet.split("model.compile")
    clean = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    noise = np.random.default_rng(1).normal(0, 0.2, clean.shape).astype(np.float32)
    names = {"noisy": clean + noise, "clean": clean}
    exec(start, names)
    model = names["model"]
    parts = (model.naive_denoiser, model.body)
    before = [[ops.convert_to_numpy(weight) for weight in part.weights] for part in parts]
    exec("model.compile" + train, names)
    for part, values in zip(parts, before, strict=True):
        after = [ops.convert_to_numpy(weight) for weight in part.weights]
        moved = [not np.array_equal(*pair) for pair in zip(values, after, strict=True)]
        assert all(moved), part.name
        assert all(np.isfinite(weight).all() for weight in after)
    assert (tmp_path / "mine.keras").exists()
