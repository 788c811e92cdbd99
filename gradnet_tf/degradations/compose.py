"""Degradations of several stages, their mixtures, and the syntax of `--degradation`.

```
gaussian(0,50)                                 one stage; each image draws from the range
poisson_gaussian(shot=0.01,read=2..5)+jpeg(60,95)      stages in sequence
3*gaussian(0,55)|camera                        one for each image: the first with probability 3/4
```
"""

import dataclasses
import math
import re

import numpy as np

from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.noise_models import STAGES, Gaussian, Range
from gradnet_tf.utils.errors import UserError

_NAMES = {kind: name for name, kind in STAGES.items()}


@dataclasses.dataclass(frozen=True)
class Chain:
    """A sequence of stages and its weight.

    Attributes:
        weight: above 0; the probability is proportional to it.
        stages: at least one of `STAGES`.
    """

    weight: float
    stages: tuple

    def __str__(self) -> str:
        texts = []
        for stage in self.stages:
            fields = dataclasses.fields(stage)
            given = {f.name: getattr(stage, f.name) for f in fields}
            given = {f.name: given[f.name] for f in fields if given[f.name] != f.default}
            plain = len(fields) == 1
            inner = ",".join(str(v) if plain else f"{name}={v}" for name, v in given.items())
            texts.append(_NAMES[type(stage)] + (f"({inner})" if inner else ""))
        return ("" if self.weight == 1 else f"{self.weight:.12g}*") + "+".join(texts)


@dataclasses.dataclass(frozen=True)
class Degradation:
    """A function from a clean image to a noisy one; `str` gives the text that it is parsed from.

    Attributes:
        chains: one of them is drawn for each image.
    """

    chains: tuple[Chain, ...]

    def __str__(self) -> str:
        return "|".join(str(chain) for chain in self.chains)

    @property
    def sigma_range(self) -> tuple[float, float] | None:
        """Lowest and highest σ if all chains are white Gaussian noise only, else `None`."""
        stages = [chain.stages[0] for chain in self.chains if len(chain.stages) == 1]
        if len(stages) < len(self.chains) or not all(isinstance(s, Gaussian) for s in stages):
            return None
        return min(s.sigma.low for s in stages), max(s.sigma.high for s in stages)

    @property
    def sigma(self) -> float | None:
        """The noise level, 0-255 scale, if it is white Gaussian noise of one σ, else `None`."""
        low, high = self.sigma_range or (0, 1)
        return low if low == high else None

    def apply(self, clean: np.ndarray, draws: Draws) -> np.ndarray:
        """Degrades one image.

        Args:
            clean: float32 (H, W, C) in [0, 1], C is 3 (RGB) or 1.
            draws: the image's random numbers, which determine the result.

        Returns:
            float32 (H, W, C); leaves [0, 1] unless the last stage clips.
        """
        image = clean
        for stage in self._choose(draws).stages:
            image = stage.apply(image, draws)
        return image.astype(np.float32, copy=False)

    def _choose(self, draws: Draws) -> Chain:
        if len(self.chains) == 1:
            return self.chains[0]
        bounds = np.cumsum([chain.weight for chain in self.chains])
        # The first bound above the draw.
        return self.chains[int(np.searchsorted(bounds, draws.uniform(0, bounds[-1]), "right"))]


def parse_degradation(text: str) -> Degradation:
    """Parses the value of `--degradation`; see the top of this file.

    Raises:
        UserError: names the invalid part, what was expected and the choices.
    """
    # Split only outside parentheses, because exponents may contain a plus sign.
    chains = []
    for part in re.split(r"\|(?![^()]*\))", text):
        weight, star, rest = part.rpartition("*")
        value = _number(weight) if star else 1.0
        if value is None or not 0 < value < math.inf:
            raise _wrong(text, f"the weight before * must be a number above 0: {weight.strip()!r}")
        stages = [_stage(text, one) for one in re.split(r"\+(?![^()]*\))", rest)]
        chains.append(Chain(value, tuple(stages)))
    return Degradation(tuple(chains))


def _wrong(text: str, what: str) -> UserError:
    return UserError(
        f"--degradation={text}: {what}.\n"
        "Expected stages such as gaussian(0,50), poisson_gaussian(shot=0.01,read=2..5), camera, "
        "jpeg(60,95), joined by + (in sequence) and | (one of them per image); stages are "
        f"{', '.join(STAGES)}."
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _stage(text: str, part: str):
    match = re.fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", part)
    if match is None:
        raise _wrong(text, f"{part.strip()!r} is not a stage")
    name, inner = match[1], (match[2] or "").strip()
    if name not in STAGES:
        raise _wrong(text, f"unknown stage {name!r}")
    fields = {field.name: field for field in dataclasses.fields(STAGES[name])}
    arguments = [one.strip() for one in inner.split(",")] if inner else []
    # Two plain numbers are a range: gaussian(0,50) is gaussian(sigma=0..50).
    if len(fields) == 1 and len(arguments) == 2 and not any("=" in one for one in arguments):
        arguments = ["..".join(arguments)]
    values = {}
    for argument in arguments:
        key, equals, value = argument.rpartition("=")
        key = key.strip() if equals else next(iter(fields)) if len(fields) == 1 else ""
        if key not in fields or key in values:
            what = f"{name} takes " + (" and ".join(f"{one}=…" for one in fields) or "nothing")
            raise _wrong(text, f"{what}, each once; found {argument!r}")
        values[key] = _range(text, name, fields[key], value)
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in values]
    if missing:
        raise _wrong(text, f"{name} needs {' and '.join(missing)}")
    return STAGES[name](**values)


def _range(text: str, name: str, field: dataclasses.Field, value: str) -> Range:
    low, dots, high = value.partition("..")
    ends = _number(low), _number(high if dots else low)
    least, most = field.metadata["limits"]
    if None in ends or not least <= ends[0] <= ends[1] <= most:
        raise _wrong(
            text,
            f"`{field.name}` of {name} must be a number or low..high within [{least:g}, {most:g}];"
            f" found {value.strip()!r}",
        )
    return Range(*ends)
