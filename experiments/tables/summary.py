"""The lines of a study's table: a configuration under one kind of noise on one test set."""

import dataclasses
from collections.abc import Sequence

from experiments.tables.statistics import Estimate, estimate, paired_difference

#: The variant under which a study's naive denoisers are trained and scored.
NAIVE = "naive denoiser"


def noise_name(noise: str) -> str:
    """Returns how a kind of noise is written: its level, or that it is real."""
    return f"σ = {noise}" if noise.replace(".", "", 1).isdigit() else "real noise"


@dataclasses.dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        noise: σ as text, or the name of a set with real noise.
        test_set: what was scored.
        variant, gradient: the configuration.
        psnr: mean over the images, then over the seeds, dB.
        difference: to the baseline, paired by seed; `None` for the baseline itself.
        params: parameters of the model.
        seconds: of computing, mean over the seeds.
    """

    noise: str
    test_set: str
    variant: str
    gradient: str
    psnr: Estimate
    difference: Estimate | None
    params: int
    seconds: float


def summarise(rows: Sequence[dict], baseline: tuple[str, str]) -> list[Line]:
    """Summarises finished runs, in the order in which noises, sets and variants first appear.

    Args:
        rows: of results.jsonl.
        baseline: (variant, gradient) that the others are compared with.

    Returns:
        A line for each noise, test set and configuration that has a run.
    """
    runs: dict = {}
    for row in rows:
        for test_set, psnr in row["psnr"].items():
            place = (row["noise"], test_set)
            label = (row["variant"], row["gradient"])
            runs.setdefault(place, {}).setdefault(label, {})[row["seed"]] = (psnr, row)
    lines = []
    for (noise, test_set), labels in runs.items():
        scores = {
            label: {seed: psnr for seed, (psnr, _) in by_seed.items()}
            for label, by_seed in labels.items()
        }
        for (variant, gradient), by_seed in labels.items():
            label = (variant, gradient)
            own = scores[label]
            made = [row for _, row in by_seed.values()]
            lines.append(
                Line(
                    noise,
                    test_set,
                    variant,
                    gradient,
                    estimate([own[seed] for seed in sorted(own)]),
                    None if label == baseline else paired_difference(own, scores.get(baseline, {})),
                    made[0]["params"],
                    sum(row["seconds"] for row in made) / len(made),
                )
            )
    return lines
