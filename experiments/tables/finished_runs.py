"""Finished runs of a study, one JSON object a line; what is there is never run again."""

import dataclasses
import json
import os
from pathlib import Path

from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import jsonable, write_json

_KEY = ("variant", "gradient", "noise", "seed")


@dataclasses.dataclass(frozen=True, order=True)
class Job:
    """One run of a study.

    Attributes:
        seed: decides initial values and every example.
        noise: σ as text ("15"), or the name of a set with real noise.
        variant: what the study compares.
        gradient: where the gradient comes from.
    """

    seed: int
    noise: str
    variant: str
    gradient: str

    @property
    def folder(self) -> str:
        """The run's folder inside the study's."""
        name = f"{self.variant}_{self.gradient}_{self.noise}_seed{self.seed}"
        return "runs/" + "".join(c if c.isalnum() or c in "._-" else "-" for c in name)


class Results:
    """The rows of results.jsonl: variant, gradient, noise, seed, psnr by test set, and facts."""

    def __init__(self, output: str | os.PathLike):
        """Args:
        output: the study's folder; it may not exist yet.

        Raises:
            UserError: for a line that is no row. A last line without an end, as a
                crash leaves it, is dropped.
        """
        self.path = Path(output) / "results.jsonl"
        self.rows: list[dict] = []
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        self._whole = text[: text.rfind("\n") + 1]
        for number, line in enumerate(self._whole.splitlines(), 1):
            try:
                row = json.loads(line)
                self.job(row)
                self.rows.append(row)
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{self.path} line {number} is no result ({error}).\n"
                    "Take the line out; its run will be made again."
                ) from error

    @staticmethod
    def job(row: dict) -> Job:
        """Returns the job that a row is the result of."""
        return Job(**{field: row[field] for field in _KEY})

    def done(self) -> set[Job]:
        """Returns the jobs that have a row."""
        return {self.job(row) for row in self.rows}

    def add(self, job: Job, row: dict) -> None:
        """Appends the result of a job; it is on the disk when this returns."""
        row = jsonable({**dataclasses.asdict(job), **row})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size > len(self._whole.encode("utf-8")):
            os.truncate(self.path, len(self._whole.encode("utf-8")))
        line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._whole += line
        self.rows.append(row)


def agree_on_facts(output: str | os.PathLike, facts: dict) -> dict:
    """Writes study.json, or checks that the one there says the same.

    Args:
        output: the study's folder.
        facts: plain values; those under "free" may differ.

    Returns:
        The facts in the file.

    Raises:
        UserError: names what differs.
    """
    path = Path(output) / "study.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, facts)
        return json.loads(path.read_text("utf-8"))
    earlier = json.loads(path.read_text("utf-8"))
    now = json.loads(json.dumps(jsonable(facts)))
    names = (set(earlier) | set(now)) - {"free"}
    different = [
        f"{name}: {earlier.get(name)!r} there, {now.get(name)!r} now"
        for name in sorted(names)
        if earlier.get(name) != now.get(name)
    ]
    if different:
        raise UserError(
            f"--output={output} holds a study of another form ({'; '.join(different)}).\n"
            "Give the same flags to go on, or another --output."
        )
    return earlier
