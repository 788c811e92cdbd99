"""docs/mobile.md: its Python client cuts a picture as the library does."""

import re
import types
from pathlib import Path

import pytest

from gradnet_tf.tiling import tiler as tiles

PAGE = (Path(__file__).resolve().parents[2] / "docs/mobile.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def client():
    """The page's program as a module."""
    pytest.importorskip("ai_edge_litert")
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    module = types.ModuleType("client")
    exec(compile(program, "docs/mobile.md", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("halo", [52, 58])
def test_the_windows_are_the_librarys(client, halo):
    for length in [*range(1, 60), *range(340, 400), 700, 701, 1501]:
        expected = tiles.spans(length, 256, halo, block=2, fixed=True)
        assert client.spans(length, 256, halo) == [(s.start, s.first, s.last) for s in expected]
