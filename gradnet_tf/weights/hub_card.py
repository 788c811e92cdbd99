"""Model cards in the format of the hubs: Markdown after a block of YAML that machines read."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

#: Identifier of a licence on the hubs, where the text of a card begins with these words. One that
#: goes on otherwise, as for what the project contributes, has conditions that no identifier has.
_LICENCES = {"Apache-2.0, like the code; commercial use is allowed": "apache-2.0"}
_TAGS = ("image-denoising", "image-restoration", "gradnet", "keras")
_PAPER = (
    "*GradNet Image Denoising*, Liu, Anwar, Zheng and Tian, CVPR Workshops 2020: a naive denoiser "
    "makes a first estimate, and the main network sees the image gradient of that estimate."
)


def hub_card(card: Mapping[str, Any]) -> str:
    """Returns the model card of shipped weights.

    Args:
        card: as `gradnet_tf.weights.read_card` returns it; missing entries are left out.
    """
    name = card["name"]
    licence = card.get("licence", "")
    front = {
        **_licence_entries(licence),
        "library_name": "keras",
        "pipeline_tag": "image-to-image",
        "tags": list(_TAGS),
        "datasets": _datasets(card),
        "metrics": ["psnr"],
        "model-index": [{"name": name, "results": list(_results(card))}],
    }
    colors = "RGB" if card.get("channels", 3) == 3 else "gray"
    levels = sorted({card[key] for key in ("sigma_min", "sigma_max") if card.get(key) is not None})
    noise = " to ".join(f"{level:g}" for level in levels)
    facts = [
        f"Network: `{card['preset']}`, {card.get('parameters', 0):,} parameters, {colors}, "
        f"arrays stored as {card.get('dtype', 'float32')}",
    ]
    if levels:
        facts.append(f"Noise: white Gaussian, σ = {noise} on the 0–255 scale")
    elif card.get("noise"):
        known = card["noise"] != "real"
        how = f", `--degradation='{card['noise']}'`" if known else ""
        facts.append(f"Noise: a camera's{how}")
    sections = [
        f"# {name}",
        f"Removes noise from photographs. {_PAPER}",
        _list(facts),
        _loading(name),
        *_scores(card),
        *_section("Limits", _list(card.get("limits", ()))),
        *_section("Training data and terms", _training(card)),
        *_section("Licence", licence),
    ]
    return _text(front, sections)


def own_card(name: str, class_name: str, parameters: int, channels: int, origin: str | None) -> str:
    """Returns the card of a network that is not one of the shipped ones, for its author to finish.

    Args:
        name: title, such as the folder's name.
        class_name: class of the network.
        parameters: number of weights.
        channels: 3 or 1.
        origin: name of the shipped weights that the training started from, if known.
    """
    front = {"library_name": "keras", "pipeline_tag": "image-to-image", "tags": list(_TAGS)}
    colors = "RGB" if channels == 3 else "gray"
    text = f"A {class_name} for {colors} images with {parameters:,} parameters. {_PAPER}"
    if origin:
        text += f"\n\nIt started from `{origin}`, and its weights were changed since."
    gaps = _list(
        [
            "Licence: not stated. The terms of the training images may restrict it.",
            "Training data: not stated.",
            "Scores: not measured (`python evaluate.py`).",
        ]
    )
    return _text(front, [f"# {name}", text, _loading(None), *_section("To complete", gaps)])


def _text(front: Mapping[str, Any], sections: Iterable[str]) -> str:
    return "---\n" + "\n".join(_yaml(front)) + "\n---\n\n" + "\n\n".join(sections) + "\n"


def _licence_entries(licence: str) -> dict[str, str]:
    for start, identifier in _LICENCES.items():
        if licence.startswith(start):
            return {"license": identifier}
    # "other" needs a name; the terms themselves are in the text.
    return {"license": "other", "license_name": "see-model-card"}


def _datasets(card: Mapping[str, Any]) -> list[str]:
    return [part.split(":")[0] for part in str(card.get("data", "")).split(",") if part]


def _results(card: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the entries of the front matter's `results`, one for each set and noise level."""
    for name, by_sigma in card.get("scores", {}).items():
        for sigma, value in by_sigma.items():
            yield {
                "task": {"type": "image-to-image", "name": "image denoising"},
                "dataset": {"type": name, "name": f"{name}, {_noise_of(sigma)}"},
                "metrics": [{"type": "psnr", "value": value, "name": "PSNR in dB"}],
            }


def _noise_of(sigma: str) -> str:
    return "real noise" if sigma == "real" else f"white Gaussian noise, sigma {sigma}"


def _scores(card: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {sigma} | {value:.2f} |"
        for name, by_sigma in card.get("scores", {}).items()
        for sigma, value in by_sigma.items()
    ]
    rows += [f"| {name} | none | {value:.2f} |" for name, value in card.get("clean", {}).items()]
    if not rows:
        return []
    counts = card.get("measured", {}).get("images", {})
    images = ", ".join(f"{count} images of {name}" for name, count in counts.items())
    text = "Mean PSNR of the clipped float output, peak 1.0, noise not clipped"
    table = ["| set | σ | PSNR in dB |", "|---|---:|---:|", *rows]
    return _section("Scores", f"{text}{f'; {images}' if images else ''}.\n\n" + "\n".join(table))


def _training(card: Mapping[str, Any]) -> str:
    recipe = card.get("recipe", {})
    parts = [f"`{card['data']}`: {card.get('terms', 'terms not stated')}"] if "data" in card else []
    if "command" in recipe:
        versions = ", ".join(f"{name} {value}" for name, value in recipe["versions"].items())
        parts.append(f"```sh\n{recipe['command']}\n```")
        parts.append(f"Best of the run: step {recipe['steps']}. {versions}.")
    return "\n\n".join(parts)


def _loading(name: str | None) -> str:
    source = name or "FOLDER"
    shipped = f'model = GradNet.from_preset("{name}")  # shipped with the package\n'
    code = (
        "from gradnet_tf import Denoiser, GradNet\n\n"
        f"{shipped if name else ''}"
        'model = GradNet.from_preset("hf://USER/REPO")  # this repository; or its local folder\n'
        f'clean = Denoiser("{source}")(photo)  # uint8, uint16 or float, gray or RGB\n'
    )
    model = "" if name is None else f" --model {name}"
    install = 'pip install ".[tensorflow,hub]"  # in a checkout of GradNet-TF'
    return (
        f"## How to load\n\n```sh\n{install}\ngradnet denoise photo.jpg --output out/"
        f"{model or ' --model FOLDER'}\n```\n\n```python\n{code}```"
    )


def _section(title: str, text: str) -> list[str]:
    return [f"## {title}", text] if text else []


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


#: Texts that YAML reads as themselves without quotes.
_PLAIN = re.compile(r"[A-Za-z][\w./-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def _yaml(value: Any, indent: int = 0) -> Iterator[str]:
    """Yields the lines of a mapping or a sequence in YAML's block style."""
    space = "  " * indent
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(item, Mapping | list) and item:
                yield f"{space}{key}:"
                yield from _yaml(item, indent if isinstance(item, list) else indent + 1)
            else:
                yield f"{space}{key}: {_scalar(item)}"
        return
    for item in value:
        if isinstance(item, Mapping):
            first, *rest = _yaml(item, indent + 1)
            yield f"{space}- {first.strip()}"
            yield from rest
        else:
            yield f"{space}- {_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
