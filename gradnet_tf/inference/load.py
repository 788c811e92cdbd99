"""The one place where `--model=` is resolved: a path by its content, else a name."""

import json
from pathlib import Path

from gradnet_tf import weights
from gradnet_tf.classical import CLASSICAL, classical_name
from gradnet_tf.errors import UserError
from gradnet_tf.files import sha256_of
from gradnet_tf.inference.denoiser import Denoiser
from gradnet_tf.presets import PRESETS
from gradnet_tf.quiet import quiet_native_logs
from gradnet_tf.run_folder import best_weights

READABLE = (
    "a run folder of train.py, a SavedModel folder, an export's output folder, a .keras file, "
    "a .tflite file, published weights (.mat, .pth)"
)
_MATLAB, _ZIP, _PICKLE = b"MATLAB", b"PK\x03\x04", b"\x80"


def load_denoiser(spec: str, precision: str = "float32") -> Denoiser:
    """Returns the denoiser that `--model=spec` means.

    An existing path goes by its content: a run's folder (config.json; its best
    weights), a folder with saved_model.pb, a folder of numbered versions of
    those, an export's output folder (saved_model/1), a `.keras` or a `.tflite`
    file, or published weights of another project (`.mat`, `.pth`). Anything else
    is a name: of weights that ship, of an architecture (its colour blind
    weights), of a classical denoiser, or `default`.

    Args:
        spec: path or name.
        precision: dtype policy to rebuild a Keras model under; weights stay float32.

    Raises:
        UserError: nothing of that name or kind, a damaged file, or a precision
            that the kind of file cannot have.
    """
    if not spec:
        raise UserError(f"--model: expected a path or a name. Received: {spec!r}.\n{_choices()}")
    path = Path(spec)
    kind = _load_folder if path.is_dir() else _load_file if path.exists() else _load_name
    try:
        with quiet_native_logs():
            return kind(path if path.exists() else spec, precision)
    except ModuleNotFoundError as error:
        raise UserError(
            f"--model={spec}: needs {error.name}, which is not installed.\n"
            "Install it: pip install 'gradnet-tf[tensorflow]' (.tflite files: [litert])."
        ) from error


def _load_folder(path: Path, precision: str) -> Denoiser:
    if (path / "config.json").is_file():
        return _load_run(path, precision)
    for folder in (path, _newest_version(path), _newest_version(path / "saved_model")):
        if folder is not None and (folder / "saved_model.pb").is_file():
            return _load_saved_model(folder, precision)
    raise UserError(
        f"--model={path}: this folder holds neither config.json (a run) nor saved_model.pb.\n"
        f"Expected {READABLE}."
    )


def _newest_version(folder: Path) -> Path | None:
    """Returns the subfolder with the greatest number for a name, as TF Serving picks it."""
    if not folder.is_dir():
        return None
    versions = [entry for entry in folder.iterdir() if entry.is_dir() and entry.name.isdecimal()]
    return max(versions, key=lambda entry: int(entry.name), default=None)


def _load_file(path: Path, precision: str) -> Denoiser:
    with open(path, "rb") as file:
        head = file.read(8)
    if head[4:8] == b"TFL3":
        return _load_tflite(path, precision)
    if head.startswith(_ZIP) and path.suffix == ".keras":
        return _load_keras(path, precision)
    if head.startswith((_MATLAB, _ZIP, _PICKLE)) or path.suffix in (".mat", ".pth", ".pt"):
        return _load_published(path, precision)
    hint = f"Expected {READABLE}."
    if path.name.endswith(".weights.h5"):
        hint = "Weights alone do not tell their network: give the run folder that holds them."
    raise UserError(f"--model={path}: this version does not read this kind of file.\n{hint}")


def _load_run(path: Path, precision: str) -> Denoiser:
    config = _read_json(path / "config.json")
    if config.get("preset") not in PRESETS:
        raise UserError(f"--model={path}: config.json does not name a preset of this version.")
    goes_on = "Rerun its train.py command: the same command resumes."
    try:
        best = best_weights(path)
    except ValueError as error:
        raise UserError(f"--model={path}: {error}.\n{goes_on}") from error
    if best is None:
        raise UserError(
            f"--model={path}: the run has no best weights yet; they come with its first "
            f"validation.\n{goes_on}"
        )
    # A folder may be given as "." or with a trailing slash; its own name is wanted.
    return _rebuild(config, best, sha256_of(best), "run", precision, path.resolve().name, str(path))


def _load_name(spec: str, precision: str) -> Denoiser:
    if classical_name(spec):
        return _load_classical(spec, precision)
    card = weights.find_card(spec)
    if card is not None:
        path, run = weights.verified_path(card), card.get("run")
        return _rebuild(card, path, card["sha256"], "weights", precision, card["name"], run)
    missing = weights.train_command(spec)
    if missing is not None:
        name, command = missing
        raise UserError(
            f"--model={spec}: the weights {name} do not ship with this version. Train them:\n"
            f"  {command}\nand give --model=runs/{name}. Weights that ship: "
            f"{weights.shipped_names()}."
        )
    raise UserError(f"--model={spec}: no such file, folder or name.\n{_choices()}")


def _load_classical(name: str, precision: str) -> Denoiser:
    if precision != "float32":
        raise UserError(f"--precision={precision}: {name} is no network. Leave the flag out.")
    from gradnet_tf.inference.runner_classical import ClassicalRunner

    return Denoiser(ClassicalRunner(name), name, {"kind": "classical"})


def _rebuild(config, path, sha256, kind, precision, name, run) -> Denoiser:
    """Builds the preset that `config` names under `precision` and loads verified weights."""
    from gradnet_tf.inference.runner_keras import runner_from_weights

    channels, naive_model = config.get("channels", 3), config.get("naive_model")
    runner = runner_from_weights(config["preset"], channels, precision, path, naive_model)
    source = {"kind": kind, "path": str(path), "preset": config["preset"], "sha256": sha256}
    return Denoiser(runner, name, {**source, "run": run})


def _load_keras(path: Path, precision: str) -> Denoiser:
    from gradnet_tf.inference.keras_file import load_keras_file
    from gradnet_tf.inference.runner_keras import runner_for

    runner = runner_for(load_keras_file(path, precision))
    return Denoiser(runner, path.stem, _file_source("keras", path))


def _load_published(path: Path, precision: str) -> Denoiser:
    from gradnet_tf.inference.runner_keras import KerasRunner
    from gradnet_tf.published.networks import load_published

    model, network = load_published(path, precision)
    source = {**_file_source("published", path), "network": network}
    return Denoiser(KerasRunner(model), path.stem, source)


def _load_saved_model(folder: Path, precision: str) -> Denoiser:
    _require_float32(folder, precision)
    from gradnet_tf.inference.runner_saved_model import SavedModelRunner

    folder_named = folder.resolve()
    if folder_named.name.isdecimal():
        folder_named = folder_named.parent
    card = _read_json(folder_named.parent / f"{folder_named.name}.json")
    # Every export calls its folder "saved_model", so the card's or the parent's name goes before.
    name = f"{card.get('name', folder_named.parent.name)}_{folder_named.name}"
    source = {"kind": "saved_model", "path": str(folder), "sha256": card.get("sha256")}
    source |= {key: card.get(key) for key in ("preset", "run")}
    return Denoiser(SavedModelRunner(folder), name, source)


def _load_tflite(path: Path, precision: str) -> Denoiser:
    _require_float32(path, precision)
    from gradnet_tf.inference.runner_tflite import TFLiteRunner

    card = _read_json(path.with_suffix(".json"))
    source = _file_source("tflite", path) | {key: card.get(key) for key in ("preset", "run")}
    return Denoiser(TFLiteRunner(path), path.stem, source)


def _file_source(kind: str, path: Path) -> dict:
    return {"kind": kind, "path": str(path), "sha256": sha256_of(path)}


def _read_json(path: Path) -> dict:
    """Returns a JSON file's object, `{}` where there is no such file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from error
    return value if isinstance(value, dict) else {}


def _require_float32(path: Path, precision: str) -> None:
    if precision != "float32":
        raise UserError(
            f"--precision={precision}: {path} runs in the precision it was exported in. "
            "Leave the flag out, or give --model a name, a run folder or a .keras file."
        )


def _choices() -> str:
    return (
        f"Weights that ship: {weights.shipped_names()}. Architectures: {', '.join(PRESETS)}.\n"
        f"Classical: {', '.join(CLASSICAL)}. Or default, or a path: {READABLE}."
    )
