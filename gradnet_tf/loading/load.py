"""Resolves `--model=`, in this one place: an existing path by its content, otherwise a name."""

import dataclasses
import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradnet_tf import weights
from gradnet_tf.loading.run_folder import MOST_CONFIG, best_weights
from gradnet_tf.models.classical import CLASSICAL
from gradnet_tf.models.presets import PRESETS, train_command
from gradnet_tf.runtimes.choose_runtime import COMPUTES, EXPECTED_TILE_FILE, Choice, choose
from gradnet_tf.tiling.machine import allowed_cores
from gradnet_tf.utils.backend import backend_name
from gradnet_tf.utils.console import inform, note
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.errors import UserError, install_command
from gradnet_tf.utils.files import sha256_of, sha256_of_folder
from gradnet_tf.utils.framework_start import quiet_native_logs

READABLE = (
    "a run folder of train.py, a folder of save_to_preset, a SavedModel folder, an export's output "
    "folder, a .keras or .h5 file of Keras, a .tflite file, published weights (.mat, .pth, "
    ".safetensors)"
)
_PUBLISHED = (".mat", ".pth", ".pt", ".safetensors")
#: What ends so is the path of a file, and no name.
_FILES = (".tflite", ".keras", ".h5", ".hdf5", *_PUBLISHED)
_MATLAB, _ZIP, _PICKLE, _HDF5 = b"MATLAB", b"PK\x03\x04", b"\x80", b"\x89HDF"


@dataclasses.dataclass(frozen=True)
class Resolved:
    """The meaning of a name or a path, before anything is loaded.

    Attributes:
        spec: the name or the path as given.
        kind: "folder", "file", "classical", "weights" or "unknown".
        path: the folder or the file; `None` for other kinds.
        card: the card of shipped weights.
        gray: name of the weights that gray pictures go through, if the shipped weights have
            such a partner.
        camera: name of the weights that pictures with a camera's noise go through; only `auto`
            has them.
        choice: what runs it, and in which precision.
        trusted: whether a SavedModel's graph may read and write files.
        sums: sha256 of the weights `gray` and `camera`, by name.
    """

    spec: str
    kind: str
    path: Path | None = None
    card: Mapping[str, Any] | None = None
    gray: str | None = None
    camera: str | None = None
    choice: Choice = Choice("keras", "float32")
    trusted: bool = False
    sums: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def litert(self) -> Path | None:
        """The shipped .tflite file to run, unless Keras runs shipped weights."""
        return self.choice.file


def resolve(
    spec: str,
    runtime: str = "auto",
    precision: str = "auto",
    flag: str | None = "model",
    trusted: bool = False,
    is_name: bool = False,
) -> Resolved:
    """Returns what a name or a path means: a path if it exists, otherwise a name.

    `auto` and `default` always mean the shipped weights: nobody who gives no model should meet a
    folder of that name. Such a folder is ./auto.

    Args:
        spec: name or path, as `gradnet_tf.denoiser.load_denoiser` takes it.
        runtime: what runs shipped weights; see `choose`.
        precision: of the computation; see `choose`.
        flag: name of the flag that gave `spec`; `None`: an argument of Python's did.
        trusted: whether a SavedModel's graph may read and write files.
        is_name: whether `spec` is a name even where a path of that name exists.

    Raises:
        UserError: another runtime or precision, or one that needs a shipped .tflite file for a
            model without one.
    """
    path, card, gray, camera, tflite, sums = None, None, None, None, None, {}
    if spec.startswith(weights.ADDRESSES):
        from gradnet_tf.weights.hub import fetch

        path, kind = fetch(spec), "folder"
    elif spec and not (is_name or spec in (weights.AUTO, "default")) and Path(spec).exists():
        path = Path(spec)
        kind = "folder" if path.is_dir() else "file"
    elif spec in CLASSICAL:
        kind = "classical"
    elif spec and (card := weights.find_card(spec)):
        kind = "weights"
        tflite = weights.tflite_path(card)
        gray, camera, sums = weights.partners(card["name"], spec)
    else:
        kind = "unknown"
    if runtime == "compiled" and not (path and path.suffix == ".tflite"):
        given = given_as(flag and "runtime", runtime, "runtime")
        raise UserError(f"{given}: does not run the model {spec}.\n{EXPECTED_TILE_FILE}")
    choice = choose(runtime, precision, tflite)
    # A .tflite file that is given by its path runs in LiteRT anyway.
    if runtime in ("litert", "openvino", "compiled") and tflite is None:
        if path and path.suffix == ".tflite":
            choice = dataclasses.replace(choice, runtime=runtime)
            return Resolved(spec, kind, path, card, gray, None, choice)
        raise UserError(
            f"{given_as(flag and 'runtime', runtime, 'runtime')}: no .tflite file is shipped for "
            f"{spec}.\nExport one (python -m export --formats=tflite_float16) and give its path, "
            f"or leave the {'flag' if flag else 'argument'} out."
        )
    return Resolved(spec, kind, path, card, gray, camera, choice, trusted, sums)


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What is known about a model without loading it, which takes seconds.

    Attributes:
        name: the name that reports use.
        sha256: of its weights, `None` if unknown.
        needs_sigma: whether it takes a noise level, `None` if unknown.
        gray: name of the weights that gray pictures go through, if any.
        camera: name of the weights that pictures with a camera's noise go through, if any.
        sums: sha256 of the weights `gray` and `camera`, by name.
    """

    name: str
    sha256: str | None = None
    needs_sigma: bool | None = None
    gray: str | None = None
    camera: str | None = None
    sums: Mapping[str, str] = dataclasses.field(default_factory=dict)


def model_info(found: Resolved) -> ModelInfo | None:
    """Returns what is known about a model; `None` if only loading shows whether it exists."""
    if found.kind == "folder":
        return _folder_info(found.path)
    if found.kind == "file":
        try:
            return ModelInfo(found.path.stem, sha256_of(found.path))
        except OSError:
            return None
    if found.kind == "classical":
        return ModelInfo(found.spec, None, True)
    card = found.card
    if card is None:
        return None
    preset = PRESETS.get(card["preset"])
    needs_sigma = preset and preset.needs_sigma
    name = weights.AUTO if found.camera else card["name"]
    partners = found.gray, found.camera, found.sums
    return ModelInfo(name, card.get("sha256"), needs_sigma, *partners)


def _folder_info(folder: Path) -> ModelInfo:
    name = folder.resolve().name
    if weights.is_preset_folder(folder):
        return ModelInfo(name, sha256_of(folder / weights.PRESET_WEIGHTS))
    try:
        config = read_json(folder / "config.json", MOST_CONFIG)
        best = best_weights(folder)
    except (OSError, ValueError):
        return ModelInfo(name)
    return ModelInfo(name, sha256_of(best) if best else None, _needs_sigma(_object(config)))


def _needs_sigma(config: Mapping[str, Any]) -> bool | None:
    """Whether the network of a run or a card wants the noise level, `None` if not known."""
    name = config.get("preset")
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None or config.get("naive_model") is not None:
        return None
    return preset.needs_sigma


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A loaded model, for `gradnet_tf.denoiser.Denoiser`.

    Attributes:
        runner: runs the network; see `gradnet_tf.denoiser.Runner`.
        name: the name used in reports and folders.
        source: the origin of the model; see `Denoiser`.
        notes: what the user should know about the file.
    """

    runner: Any
    name: str
    source: dict[str, Any]
    notes: tuple[str, ...] = ()


def given_as(flag: str | None, value: str, argument: str = "model") -> str:
    """Returns how the user gave a value: by a flag of a command, or by an argument in Python."""
    return f"--{flag}={value}" if flag else f"{argument}={value!r}"


def load_runner(model: Resolved, flag: str | None) -> Loaded:
    """Returns the model that `--model=` means; see `gradnet_tf.denoiser.load_denoiser`."""
    spec = model.spec
    if not spec:
        name = f"--{flag}" if flag else "model"
        raise UserError(f"{name}: expected a path or a name. Received: {spec!r}.\n{_choices()}")
    try:
        if model.litert:
            loaded = _load_shipped_tflite(model.choice)
        else:
            with quiet_native_logs():
                loaded = _LOADERS[model.kind](model, model.choice.policy)
            for text in loaded.notes:  # they would be lost among the native messages
                note(text)
            if accelerator := loaded.source.get("accelerator"):
                inform(f"runtime compiled on the {accelerator}: {loaded.name}")
        if model.camera:
            source = loaded.source | {"camera": model.camera}
            return Loaded(loaded.runner, weights.AUTO, source)
        return loaded
    except UserError as error:
        # The message names the file; the user also has to see what gave it.
        given = model.litert or model.path or spec
        text = str(error).removeprefix(f"{given}: ")
        raise UserError(f"{given_as(flag, spec)}: {text}") from error
    except ModuleNotFoundError as error:
        raise UserError(
            f"{given_as(flag, spec)}: needs {error.name}, which is not installed.\n"
            f"Install it: {install_command(error.name)}."
        ) from error


def _load_folder(model: Resolved, precision: str) -> Loaded:
    path = model.path
    if weights.is_preset_folder(path):
        return _load_preset_folder(path, precision)
    if (path / "config.json").is_file():
        return _load_run(path, precision)
    for folder in (path, _newest_version(path), _newest_version(path / "saved_model")):
        if folder is not None and (folder / "saved_model.pb").is_file():
            return _load_saved_model(folder, precision, model.trusted)
    raise UserError(
        f"{path}: this folder contains neither config.json (a run) nor saved_model.pb.\n"
        f"Expected {READABLE}."
    )


def _newest_version(folder: Path) -> Path | None:
    """Returns the subfolder with the highest version number, as TF Serving chooses it."""
    if not folder.is_dir():
        return None
    versions = [entry for entry in folder.iterdir() if entry.is_dir() and entry.name.isdecimal()]
    return max(versions, key=lambda entry: int(entry.name), default=None)


def _load_file(model: Resolved, precision: str) -> Loaded:
    path = model.path
    if not path.is_file():  # opening a pipe waits, and a device never ends
        raise UserError(
            f"{path}: a pipe, a socket or a device, and no model.\nExpected {READABLE}."
        )
    with open(path, "rb") as file:
        head = file.read(8)
    if not head:
        raise UserError(f"{path}: the file is empty. Download or write it again.")
    if head[4:8] == b"TFL3":
        return _load_tflite(path, precision, model.choice.runtime)
    if head.startswith(_ZIP) and path.suffix == ".keras":
        return _load_keras(path, precision)
    if head.startswith(_HDF5) and path.suffix in (".h5", ".hdf5"):
        return _load_keras(path, precision)
    if head.startswith((_MATLAB, _ZIP, _PICKLE)) or path.suffix in _PUBLISHED:
        return _load_published(path, precision)
    if path.suffix == ".keras":
        raise UserError(
            f"{path}: not a valid .keras file: it begins with {head!r}.\n"
            "Expected the zip archive that model.save(PATH) writes."
        )
    hint = f"Expected {READABLE}."
    if head.startswith(_HDF5):
        hint = "It is an HDF5 file: a model of Keras needs the suffix .h5, a MATLAB file .mat."
    if path.name.endswith(".weights.h5"):
        hint = "A weights file does not define its network: give the run folder instead."
    raise UserError(f"{path}: this kind of file is not supported.\n{hint}")


def _load_run(path: Path, precision: str) -> Loaded:
    config = _read_json(path / "config.json")
    if not isinstance(config.get("preset"), str) or config["preset"] not in PRESETS:
        raise UserError(f"{path}: config.json does not name a preset of this version.")
    channels = config.get("channels", 3)
    if type(channels) is not int or channels not in (1, 3):
        raise UserError(
            f"{path}: config.json has channels={str(channels)[:40]}; expected 1 or 3.\n"
            "Copy the run's folder again."
        )
    hint = "Run its train.py command again to resume the training."
    try:
        best = best_weights(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}.\n{hint}") from error
    if best is None:
        raise UserError(
            f"{path}: the run has no best weights yet; they are written by its first "
            f"validation.\n{hint}"
        )
    # The folder may be given as "." or with a trailing slash, so resolve its name.
    settings = {**config, **_object(config.get("train"))}
    return _rebuild(
        settings, best, sha256_of(best), "run", precision, path.resolve().name, str(path)
    )


def _load_weights(model: Resolved, precision: str) -> Loaded:
    card = model.card
    path, run = weights.verified_path(card), card.get("run")
    return _rebuild(card, path, card["sha256"], "weights", precision, card["name"], run)


def _load_classical(model: Resolved, precision: str) -> Loaded:
    name = model.spec
    if precision != "float32":
        raise UserError(
            f"{name}: is not a network and has no precision. Received: precision={precision}."
        )
    from gradnet_tf.runtimes.classical_runtime import ClassicalRunner

    return Loaded(ClassicalRunner(name), name, {"kind": "classical"})


def _refuse_unknown(model: Resolved, precision: str) -> Loaded:
    missing = train_command(model.spec)
    if missing is not None:
        name, command = missing
        raise UserError(
            f"{model.spec}: the weights {name} are not shipped with this version. Train them:\n"
            f"  {command}\nand give runs/{name}. Shipped weights: {weights.shipped_names()}."
        )
    path = Path(model.spec)
    if len(path.parts) > 1 or path.suffix in _FILES:
        raise UserError(f"{model.spec}: no such file or folder.\n{_near(path)}")
    raise UserError(f"{model.spec}: no such file, folder or name.\n{_choices()}")


def _near(path: Path) -> str:
    """Returns what in the folder of a missing path has a similar name."""
    if not path.parent.is_dir():
        return f"There is no folder {path.parent} either: give an existing path."
    try:
        names = sorted(os.listdir(path.parent))
    except OSError as error:
        return f"{path.parent} cannot be listed: {error.strerror}."
    near = difflib.get_close_matches(path.name, names, 4)
    near = near or [name for name in names if path.suffix and name.endswith(path.suffix)][:4]
    if not near:
        return f"Nothing in {path.absolute().parent} has a similar name."
    return f"Similar names there: {', '.join(str(path.parent / name) for name in near)}."


_LOADERS = {
    "folder": _load_folder,
    "file": _load_file,
    "weights": _load_weights,
    "classical": _load_classical,
    "unknown": _refuse_unknown,
}


def _rebuild(config, path, sha256, kind, precision, name, run) -> Loaded:
    """Builds the preset named by `config` under `precision` and loads verified weights."""
    backend_name()
    from gradnet_tf.runtimes.keras_runtime import runner_from_weights

    channels, naive_model = config.get("channels", 3), config.get("naive_model")
    runner = runner_from_weights(config["preset"], channels, precision, path, naive_model)
    source = {"kind": kind, "path": str(path), "preset": config["preset"], "sha256": sha256}
    return Loaded(runner, name, {**source, "run": run, "trained_sigma": _trained_sigma(config)})


def _load_preset_folder(path: Path, precision: str) -> Loaded:
    backend_name()
    from gradnet_tf.models.base import DenoisingModel
    from gradnet_tf.models.presets import load_preset
    from gradnet_tf.runtimes.keras_runtime import require_own_process, runner_for

    require_own_process()
    model = load_preset(str(path), True, precision, DenoisingModel, "from_preset")
    card = model.loaded_from.card or {}
    source = {
        "kind": "preset",
        "path": str(path),
        "sha256": sha256_of(path / weights.PRESET_WEIGHTS),
    }
    return Loaded(runner_for(model), path.resolve().name, source | _from_card(card))


def _load_keras(path: Path, precision: str) -> Loaded:
    backend_name()
    from gradnet_tf.runtimes.keras_file import load_keras_file
    from gradnet_tf.runtimes.keras_runtime import require_own_process, runner_for

    require_own_process()
    runner = runner_for(load_keras_file(path, precision))
    return Loaded(runner, path.stem, _file_source("keras", path))


def _load_published(path: Path, precision: str) -> Loaded:
    backend_name()
    from gradnet_tf.loading.probe import DENOISES, probe
    from gradnet_tf.loading.published_networks import describe_network, read_published
    from gradnet_tf.runtimes.keras_runtime import KerasRunner, require_own_process

    require_own_process()
    network = read_published(path)
    found = probe(network)
    reading = found.reading.describe(network.channels)
    notes = []
    if found.reading != network.reading:
        usual = network.reading.describe(network.channels)
        notes.append(
            f"{path.name} denoises only if it is read so: {reading}; usual for such files: {usual}"
        )
    if found.best_gain < DENOISES:
        notes.append(
            f"{path.name} hardly denoises white noise: {found.best_gain:+.2f} dB at its best level"
        )
    is_float32 = precision == "float32"
    model = found.model if is_float32 else network.build(found.reading, precision)
    source = {**_file_source("published", path), "network": describe_network(model)}
    return Loaded(KerasRunner(model), path.stem, {**source, "reading": reading}, tuple(notes))


def _load_saved_model(folder: Path, precision: str, trusted: bool) -> Loaded:
    _require_float32(folder, precision)
    from gradnet_tf.runtimes.saved_model_runtime import SavedModelRunner

    version = folder.resolve()
    named = version.parent if version.name.isdecimal() else version
    card = _read_json(named.parent / f"{named.name}.json")
    sha256 = sha256_of_folder(folder)
    if card.get("sha256") != sha256:  # It describes the version that was exported last.
        card = {}
    # Every export names its folder "saved_model", so prefix the name of the card or the parent.
    name = f"{card.get('name', named.parent.name)}_{named.name}"
    source = {"kind": "saved_model", "path": str(folder), "sha256": sha256}
    return Loaded(SavedModelRunner(folder, trusted), name, source | _from_card(card))


def _load_tflite(path: Path, precision: str, runtime: str) -> Loaded:
    if runtime != "openvino":
        _require_float32(path, precision)
    from gradnet_tf.runtimes.litert_runtime import LiteRTFile, TFLiteRunner, require_no_crash
    from gradnet_tf.runtimes.tile_file_runtime import TileFileRunner, tile_layout

    card = _read_json(path.with_suffix(".json"))
    source = _file_source("tflite", path)
    # The card's facts, such as the margin of tiles, hold for the file that it was written with.
    if source["sha256"] != card.get("sha256", source["sha256"]):
        raise UserError(
            f"{path}: its sha256 is {source['sha256']}, and the card beside it, "
            f"{path.with_suffix('.json').name}, says {str(card['sha256'])[:64]}.\nIt is damaged or "
            "was exchanged: copy both files of one export, or move another file's card away."
        )
    if "sha256" not in card:
        require_no_crash(path, "compiled" if runtime == "compiled" else "litert")
    if runtime in ("openvino", "compiled"):
        precision = "bfloat16" if precision == "mixed_bfloat16" else precision
        if runtime == "openvino" and precision not in COMPUTES[runtime]:
            known = " or ".join(COMPUTES[runtime])
            raise UserError(
                f"{path}: runs in OpenVINO with {known}. Received: precision={precision}."
            )
        runner = TFLiteRunner(path, None, card, runtime, precision)
        if runtime == "compiled":
            source |= {"runtime": runtime, "accelerator": runner.accelerator}
        return Loaded(runner, path.stem, source | _from_card(card))
    file = LiteRTFile(path)
    layout = tile_layout(file)
    # Our own files have a card with the margin of tiles.
    if layout and "halo" not in card:
        runner = TileFileRunner(file, layout, card)
    else:
        runner = TFLiteRunner(file, card=card)
    return Loaded(runner, path.stem, source | _from_card(card))


def _load_shipped_tflite(choice: Choice) -> Loaded:
    from gradnet_tf.runtimes.litert_runtime import TFLiteRunner

    path = choice.file
    card = _read_json(path.with_suffix(".json"))
    # A model is identified by its weights, whatever runs them.
    source = {"kind": "weights", "path": str(path), "sha256": card.get("weights_sha256")}
    source |= {"runtime": choice.runtime, "precision": choice.precision, **_from_card(card)}
    sha256 = sha256_of(path)
    if sha256 != card.get("sha256"):
        raise UserError(
            f"{path}: the file is damaged or was replaced: its sha256 is {sha256}, "
            f"expected {card.get('sha256')}.\nReinstall the package."
        )
    cores = allowed_cores()
    with quiet_native_logs():
        runner = TFLiteRunner(path, cores, card, choice.runtime, choice.precision)
    runner.parameters = card.get("parameters")
    return Loaded(runner, card.get("name", path.stem), source)


def _file_source(kind: str, path: Path) -> dict:
    return {"kind": kind, "path": str(path), "sha256": sha256_of(path)}


def _from_card(card: dict) -> dict:
    """Returns what an export's card tells of the weights' origin."""
    known = {key: _text(card.get(key)) for key in ("preset", "run")}
    return {**known, "trained_sigma": _trained_sigma(card)}


def _trained_sigma(facts: dict) -> list[float] | None:
    """Returns the lowest and the highest noise level of a training, where a file tells them."""
    levels = [facts.get("sigma_min"), facts.get("sigma_max")]
    # NaN is in no range, and a bool is no number.
    are_levels = all(type(level) in (int, float) and 0 <= level <= 255 for level in levels)
    return levels if are_levels else None


def _read_json(path: Path) -> dict:
    """Returns the object in a JSON file, `{}` if there is no such file."""
    try:
        value = read_json(path, MOST_CONFIG)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: not readable as JSON: {reason}") from error
    return _object(value)


def _text(value) -> str | None:
    return value if isinstance(value, str) else None


def _object(value) -> dict:
    return value if isinstance(value, dict) else {}


def _require_float32(path: Path, precision: str) -> None:
    if precision != "float32":
        raise UserError(
            f"{path}: runs in the precision it was exported in. Received: precision={precision}.\n"
            "Give a name, a run folder or a .keras file for another precision."
        )


def _choices() -> str:
    return (
        f"Shipped weights: {weights.shipped_names()}. Architectures: {', '.join(PRESETS)}.\n"
        f"Classical: {', '.join(CLASSICAL)}. Or auto, default, or a path: {READABLE}."
    )
