"""What can be known of `--model=` without loading it, which takes seconds."""

import dataclasses
import json
from pathlib import Path

from gradnet_tf import weights
from gradnet_tf.loading.run_folder import best_weights
from gradnet_tf.models.classical import classical_name
from gradnet_tf.models.presets import PRESETS
from gradnet_tf.utils.files import sha256_of

#: Architectures that are told the noise level.
TOLD_SIGMA = ("FFDNet",)


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """Facts of a model that exists.

    Attributes:
        name: as reports call it.
        sha256: of its weights, `None` where that is not known.
        needs_sigma: whether it takes a noise level, `None` where that is not known.
        gray: name of the weights that grey pictures go through, if there are such.
    """

    name: str
    sha256: str | None = None
    needs_sigma: bool | None = None
    gray: str | None = None


def model_facts(spec: str) -> ModelFacts | None:
    """Returns what is known of a model; `None` where loading has to tell whether it exists.

    Args:
        spec: path or name, as `gradnet_tf.denoiser.load_denoiser` takes it.
    """
    path = Path(spec)
    if not spec:
        return None
    if path.is_dir():
        return _folder_facts(path)
    if path.is_file():
        needs = False if path.suffix == ".tflite" else None
        try:
            return ModelFacts(path.stem, sha256_of(path), needs)
        except OSError:
            return None
    if classical_name(spec):
        return ModelFacts(spec, None, True)
    card = weights.find_card(spec)
    if card is None:
        return None
    gray = weights.gray_partner(card["name"], {"kind": "weights"})
    return ModelFacts(card["name"], card.get("sha256"), _needs_sigma(card), gray)


def _folder_facts(folder: Path) -> ModelFacts:
    name = folder.resolve().name
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        best = best_weights(folder)
    except (OSError, ValueError):
        return ModelFacts(name)
    facts = config if isinstance(config, dict) else {}
    return ModelFacts(name, sha256_of(best) if best else None, _needs_sigma(facts))


def _needs_sigma(facts: dict) -> bool | None:
    """Whether the network of a run or a card is told the noise level: its last naive one is."""
    preset = PRESETS.get(facts.get("preset"))
    if preset is None or facts.get("naive_model") is not None:
        return None
    while preset.naive is not None:
        preset = PRESETS[preset.naive]
    return preset.architecture in TOLD_SIGMA
