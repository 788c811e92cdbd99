"""The parser of MATLAB's version 5: as SciPy reads it, and no harm from files that lie."""

import contextlib
import io
import tracemalloc

import hostile_files
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradnet_tf.utils.containers import Budget
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.matlab_5 import Cells, Structures, list_variables, read_variable
from gradnet_tf.utils.matlab_arrays import read_array

MOST = 2**24
DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=4, max_side=4))
)
TEXTS = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=20)
NAMES = st.text(st.sampled_from("abcdefgh_"), min_size=1, max_size=20).filter(str.isalpha)
VALUES = st.recursive(
    ARRAYS | TEXTS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4)
        | st.dictionaries(NAMES, inner, min_size=1, max_size=4)
    ),
    max_leaves=8,
)


def as_cells(value):
    """Lists as the cell arrays that SciPy writes."""
    if isinstance(value, dict):
        return {name: as_cells(each) for name, each in value.items()}
    if not isinstance(value, list):
        return value
    cells = np.empty((1, len(value)), object)
    cells[0, :] = [as_cells(each) for each in value]
    return cells


def plain(value):
    """What the parser returned, as what was written."""
    if isinstance(value, Cells):
        return [plain(each) for each in value.items]
    if isinstance(value, Structures):
        (fields,) = value.items
        return {name: plain(each) for name, each in fields.items()}
    return value


def same(found, value):
    if isinstance(value, dict):
        return found.keys() == value.keys() and all(same(found[key], value[key]) for key in value)
    if isinstance(value, list):
        return len(found) == len(value) and all(map(same, found, value))
    if isinstance(value, str):
        return "".join(map(chr, found.ravel(order="F"))) == value
    return found.dtype == value.dtype and np.array_equal(found, value, equal_nan=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=VALUES, compressed=st.booleans())
def test_what_scipy_writes_is_read(tmp_path, value, compressed):
    path = tmp_path / "a.mat"
    wide = {"wide": np.zeros((3, 5), np.uint8), "x": as_cells(value)}
    scipy.io.savemat(path, wide, do_compression=compressed)
    assert [each.name for each in list_variables(path)] == ["wide", "x"]
    assert list_variables(path)[0].shape == (3, 5)
    assert list_variables(path)[0].kind == "uint8"
    assert same(plain(read_variable(path, "x", Budget(MOST))), value)
    assert read_variable(path, "y", Budget(MOST)) is None


def test_what_is_not_read_does_not_hide_the_rest(tmp_path):
    path = tmp_path / "a.mat"
    contents = {"x": {"a": np.eye(2) * 1j, "b": np.eye(2), "c": scipy.sparse.eye_array(3)}}
    scipy.io.savemat(path, contents | {"z": np.eye(2) * 1j})
    (found,) = read_variable(path, "x", Budget(MOST)).items
    assert found["a"] is None and found["c"] is None
    np.testing.assert_array_equal(found["b"], np.eye(2))
    with pytest.raises(ValueError, match="complex numbers"):
        read_variable(path, "z", Budget(MOST))


@pytest.mark.parametrize("name", hostile_files.MAT_5_BOMBS)
def test_a_file_that_claims_more_than_it_holds_is_refused(tmp_path, name):
    path = tmp_path / "a.mat"
    path.write_bytes(hostile_files.mat_5(hostile_files.MAT_5_BOMBS[name]()))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            read_variable(path, "net", Budget(MOST))
        assert tracemalloc.get_traced_memory()[1] < 2 * MOST + path.stat().st_size
    finally:
        tracemalloc.stop()
    with pytest.raises(UserError, match="damaged, truncated or not a MATLAB file|has no variable"):
        read_array(path, "net")


def test_the_budget_counts_what_is_decoded(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"x": np.zeros((1000, 1000), np.uint8)}, do_compression=True)
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match="more than 0.5 MB of data"):
        read_variable(path, "x", Budget(2**19))
    assert read_variable(path, "x", Budget(2**20)).shape == (1000, 1000)


def network_bytes() -> bytes:
    target = io.BytesIO()
    layers = {"layers": as_cells([{"type": "conv", "w": np.ones((3, 3), np.float32)}, "abc"])}
    scipy.io.savemat(target, {"net": layers, "x": np.arange(6.0)})
    return target.getvalue()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(network_bytes()) - 1), st.integers(0, 255)), max_size=6
    ),
    end=st.integers(0, len(network_bytes())),
)
def test_changed_bytes_are_read_or_refused(tmp_path, changes, end):
    data = bytearray(network_bytes()[:end] if end % 3 == 0 else network_bytes())
    for place, value in changes:
        if place < len(data):
            data[place] = value
    path = tmp_path / "a.mat"
    path.write_bytes(data)
    for name in ("net", "x"):
        with contextlib.suppress(ValueError):
            read_variable(path, name, Budget(MOST))
