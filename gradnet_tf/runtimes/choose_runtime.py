"""Chooses what runs shipped weights, and in which precision: `--runtime` and `--precision`."""

import dataclasses
import functools
import hashlib
import importlib.util
import json
import math
import os
import platform
import re
from pathlib import Path
from typing import Any

from gradnet_tf.utils.errors import UserError, install_command

#: The values of `--runtime`.
RUNTIMES = ("auto", "keras", "litert", "openvino", "compiled")
#: The values of `--precision`.
PRECISIONS = ("auto", "float32", "bfloat16", "int8")
#: Keras' dtype policies, which Python programs may give as well.
POLICIES = ("mixed_bfloat16", "mixed_float16")
#: What each runtime computes in. 8-bit arithmetic is a file of its own.
COMPUTES = {
    "keras": ("float32", "bfloat16", *POLICIES),
    "litert": ("float32", "int8"),
    "openvino": ("float32", "bfloat16"),
}
#: What the runtime "compiled" asks for where it is given something else.
EXPECTED_TILE_FILE = (
    "Expected a .tflite file for tiles of one size, with its card beside it.\nExport "
    "one (python -m export --formats=tflite_float32_tile256) and give its path, or leave "
    "the runtime out."
)
#: What `auto` tries first, in this order: where the processor has instructions for both, OpenVINO's
#: bfloat16 is faster with and without AMX, since only a part of an 8-bit file is in 8 bits
#: (docs/precision.md).
_FAST = (("openvino", "bfloat16"), ("litert", "int8"))
#: What it tries then, in this order; the first that fits, is installed and allowed. With AVX2 alone
#: OpenVINO takes 0.8 times as long as LiteRT, with AVX-512 0.9, which its longer start uses up.
_EXACT = (("litert", "float32"), ("openvino", "float32"))
_KERAS = (
    ("keras", "float32"),
    *(("keras", precision) for precision in COMPUTES["keras"][1:]),
)
_PACKAGES = {"litert": "ai_edge_litert", "openvino": "openvino"}
#: Instructions that make a precision faster than float32 (names of /proc/cpuinfo).
_INSTRUCTIONS = {
    "bfloat16": {"avx512_bf16", "amx_bf16"},
    "int8": {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"},
}
#: What `auto` may cost in decibels: with noise on the set of the card, and, where results are above
#: 40 dB so that a loss is seen later, with clean pictures and with noisy drawings and text.
MOST_LOSS_DB, MOST_FINE_LOSS_DB = 0.1, 0.5
#: Clean pictures may lose more if they still come back so; the mean change is below a level of 255.
LEAST_CLEAN_DB = 50.0


@dataclasses.dataclass(frozen=True)
class Choice:
    """What runs a model.

    Attributes:
        runtime: "keras", "litert" or "openvino".
        precision: one of `COMPUTES[runtime]`.
        file: the shipped .tflite file, unless Keras runs the weights.
        note: a line for the user where `auto` chose less than float32, otherwise empty.
    """

    runtime: str
    precision: str
    file: Path | None = None
    note: str = ""

    @property
    def policy(self) -> str:
        """The dtype policy of a Keras model."""
        return "mixed_bfloat16" if self.precision == "bfloat16" else self.precision


def choose(runtime: str, precision: str, file: Path | None) -> Choice:
    """Returns what runs a model.

    `auto` takes bfloat16 in OpenVINO or 8 bits in LiteRT, of what is installed, what the
    processor has instructions for, and what costs next to nothing according to the card of the
    weights; otherwise float32 in LiteRT or OpenVINO, which start in a fraction of Keras' time and
    need no TensorFlow. `gradnet bench` replaces this order by what it measured. Keras runs weights
    where there is a GPU that its backend could use, where KERAS_BACKEND is set, and where nothing
    else is installed; 8 bits are always LiteRT's.

    Args:
        runtime: one of `RUNTIMES`.
        precision: one of `PRECISIONS` or `POLICIES`.
        file: the shipped .tflite file of the weights, if there is one.

    Raises:
        UserError: no such runtime or precision, or one that does not compute in the other.
    """
    if runtime not in RUNTIMES:
        raise UserError(f"`runtime` must be one of {', '.join(RUNTIMES)}. Received: {runtime!r}")
    if file is None and precision == "int8":
        raise UserError(
            "precision=int8: no 8-bit file is shipped for this model.\nExport one (python -m "
            "export --formats=tflite_int8) and give its path, or leave the precision out."
        )
    if file is None:
        # Keras, which loads it, refuses precisions that it does not know.
        return Choice("keras", "float32" if precision == "auto" else precision)
    if precision not in (*PRECISIONS, *POLICIES):
        known = ", ".join((*PRECISIONS, *POLICIES))
        raise UserError(f"`precision` must be one of {known}. Received: {precision!r}")
    # Where Keras cannot run or compute so, a shipped file in LiteRT is better than an error.
    wants_keras = "KERAS_BACKEND" in os.environ or (_has_gpu() and has_backend())
    keras_only = runtime == "auto" and precision != "int8" and wants_keras
    kept = read_kept() if runtime == precision == "auto" else None
    flags = processor_flags()
    exact = _EXACT[::-1] if "avx2" in flags and "avx512f" not in flags else _EXACT
    for found in (*([kept] if kept else []), *_FAST, *exact, *_KERAS):
        fits = runtime in ("auto", found[0]) and precision in ("auto", found[1])
        path = None if found[0] == "keras" else file_for(found[1], file)
        if not fits or (found[0] != "keras" and (keras_only or path is None)):
            continue
        if runtime == "auto" and not is_installed(found[0]):
            continue
        if found == kept and found[0] == "keras" and not has_backend():
            continue  # TensorFlow was removed since `gradnet bench` measured it.
        if precision == "auto" and not is_allowed(*found, file):
            continue
        is_exact = precision != "auto" or found[1] == "float32"
        why = ", fastest of what is installed" if runtime == "auto" else ""
        why = ", measured by `gradnet bench`" if found == kept else why
        said = f"runtime {' '.join(found)}{why}; --precision=float32 for exact results"
        return Choice(*found, path, "" if is_exact else said)
    raise UserError(
        f"runtime={runtime}, precision={precision}: {file.stem} does not run so.\n{_possible(file)}"
    )


def _possible(file: Path) -> str:
    """Returns what runs the weights here, and what has to be installed for more."""
    here, more = [], []
    for runtime, known in COMPUTES.items():
        precisions = [each for each in known[:2] if file_for(each, file)]
        pairs = f"{runtime} with {' or '.join(precisions)}"
        if is_installed(runtime) and (runtime != "keras" or has_backend()):
            here.append(pairs)
        else:
            package = _PACKAGES.get(runtime, "tensorflow")
            more.append(f"{pairs} ({install_command(package)})")
    expected = f"Expected {', '.join(here)}." if here else "Nothing that runs it is installed."
    return expected + (f"\nTo be installed: {', '.join(more)}." if more else "")


def file_for(precision: str, file: Path | None) -> Path | None:
    """Returns the shipped .tflite file of a precision, `None` if there is none."""
    if file is None or precision != "int8":
        return file
    path = file.with_name(f"{file.stem}_int8.tflite")
    return path if path.is_file() else None


def is_allowed(runtime: str, precision: str, file: Path) -> bool:
    """Whether `auto` may choose a precision: fast on this processor, and good by the card."""
    if precision == "float32":
        return True
    if not _INSTRUCTIONS[precision] & processor_flags():
        return False
    path = file_for(precision, file)
    try:
        card = json.loads(path.with_suffix(".json").read_text("utf-8")) if path else {}
    except (OSError, ValueError):
        return False
    return keeps_quality(card.get("precisions", {}).get(precision, {}).get("scores", {}))


def keeps_quality(scores: dict[str, Any]) -> bool:
    """Whether a card's scores of a precision fit the limits of `auto`.

    Args:
        scores: {σ: {"psnr": dB, "drop_db": dB}}, of which σ "0" is of clean pictures; "drawings"
            instead of σ is of noisy drawings, the name of a set of its noisy photographs.
    """
    clean = scores.get("0", {"psnr": 0.0, "drop_db": math.inf})
    noisy = [row["drop_db"] for sigma, row in scores.items() if sigma not in ("0", "drawings")]
    drawings = scores.get("drawings", {}).get("drop_db", 0.0)
    keeps = clean["psnr"] >= LEAST_CLEAN_DB or clean["drop_db"] <= MOST_FINE_LOSS_DB
    fine = keeps and drawings <= MOST_FINE_LOSS_DB
    return fine and bool(noisy) and max(noisy) <= MOST_LOSS_DB


def machine_key() -> str:
    """Identifies this processor and the installed versions, of which a measured choice is kept."""
    versions = [f"{name} {_version(name)}" for name in ("gradnet_tf", *_PACKAGES.values())]
    facts = [platform.machine(), str(os.cpu_count()), *sorted(processor_flags()), *versions]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _version(module: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(module.replace("_", "-"))
    except metadata.PackageNotFoundError:
        return "-"


def choice_path() -> Path:
    """The file of this machine's choice."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache, "gradnet", "choice.json")


def read_kept() -> tuple[str, str] | None:
    """Returns what `gradnet bench` kept for this machine; `None` if it is invalid or outdated."""
    try:
        kept = json.loads(choice_path().read_text("utf-8"))
        runtime, precision = kept["runtime"], kept["precision"]
        known = precision in COMPUTES[runtime] and kept["key"] == machine_key()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (runtime, precision) if known else None


@functools.cache
def processor_flags() -> frozenset[str]:
    """Returns the processor's instruction sets as Linux names them; none elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found[1].split() if found else ())


def is_installed(runtime: str) -> bool:
    """Whether the package of a runtime is installed."""
    return runtime == "keras" or importlib.util.find_spec(_PACKAGES[runtime]) is not None


def has_backend() -> bool:
    """Whether there is something that Keras can run on."""
    # JAX first: where it trains, nothing may depend on TensorFlow, not even on looking for it.
    return any(importlib.util.find_spec(name) is not None for name in ("jax", "tensorflow"))


def _has_gpu() -> bool:
    """Whether there is a graphics card that TensorFlow or JAX could compute on."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
