r"""Makes the table of docs/results.md: PSNR and SSIM of our weights beside other denoisers.

Example:
  python -m benchmarks.results.results_table --data_dir=DATA --peers=PEERS --output=out/table
  python -m benchmarks.results.results_table --speed --peers=PEERS --output=out/table
Scores are those of evaluate.py. OUTPUT gets table.md, table.csv, results.jsonl, head.md (a short
table) and a file for each finished cell, so the same command resumes. --speed only measures the
time per megapixel (on a machine without other work), which later tables have as a column; they
come with pareto_SET.png, quality against time.
"""

import dataclasses
import json
from pathlib import Path

from benchmarks.results.cells import parse_sigmas
from gradnet_tf.models.presets import PRECISIONS
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.options import CommandLine, Given, option
from gradnet_tf.utils.ownership import is_json_with, is_recorded, record, require_replaceable


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        sets: image sets by name.
        sigmas: noise levels on the 0-255 scale.
        data_dir: folder that holds the sets.
        peers: folder of other projects' weights (docs/results.md).
        output: output folder.
        models: all, ours, peers, classical, names of rows, or models as for evaluate.py.
        max_images: use the first so many images of each set.
        seed: seed of the noise.
        precision: dtype policy of networks.
        speed: measure the time per megapixel instead of the scores.
        threads: number of threads for --speed.
        runs: number of timed runs for --speed.
    """

    sets: tuple[str, ...] = ("set12", "bsd68", "cbsd68")
    sigmas: tuple[str, ...] = ("15", "25", "50")
    data_dir: str | None = None
    peers: str | None = None
    output: str = "out/table"
    models: tuple[str, ...] = ("all",)
    max_images: int | None = None
    seed: int = 0
    precision: str = option("float32", choices=PRECISIONS)
    speed: bool = False
    threads: int = option(2, least=1)
    runs: int = option(5, least=1)


COMMAND_LINE = CommandLine(Options)


class Loader:
    """Loads and caches models; classical denoisers always in float32."""

    def __init__(self, precision: str):
        """Args:
        precision: dtype policy of the networks.
        """
        self._precision = precision
        self._loaded, self._macs = {}, {}

    def __call__(self, spec: str):
        """Returns the denoiser of a `--model=` value."""
        from gradnet_tf.denoiser import load_denoiser
        from gradnet_tf.models.classical import classical_name

        if spec not in self._loaded:
            precision = "float32" if classical_name(spec) else self._precision
            self._loaded[spec] = load_denoiser(spec, precision, runtime="keras")
        return self._loaded[spec]

    def macs(self, spec: str) -> float | None:
        """Returns the MACs per pixel; `None` if it is not a Keras model."""
        from benchmarks.results.complexity import macs_per_pixel

        if spec not in self._macs:
            model = self(spec).model
            self._macs[spec] = None if model is None else macs_per_pixel(model)
        return self._macs[spec]


def read_speed(output: Path) -> dict:
    """Returns the contents of speed.json, without rows if it is missing."""
    try:
        return json.loads((output / "speed.json").read_text("utf-8"))
    except FileNotFoundError:
        return {"rows": [], "note": ""}


def require_own_speed(output: Path) -> None:
    """Raises `UserError` where speed.json is no earlier measurement's."""
    path = output / "speed.json"
    own = is_json_with(path, "rows", "note")
    require_replaceable(path, f"--output={output}", lambda _: own)


def measure_speed(entries, sigma: float, load: Loader, output: Path, options: Options) -> None:
    """Measures every row, in color and in gray, and updates speed.json after each."""
    from benchmarks.measuring import processor_kind
    from benchmarks.results import table_speed
    from gradnet_tf.models.classical import classical_denoiser, classical_name
    from gradnet_tf.utils.files import write_json

    # Models with one set of weights per σ all have the same speed.
    for entry in entries:
        spec = entry.spec(sigma) or next(iter(entry.specs.values()))
        classical = classical_name(spec)
        run = classical_denoiser(spec, options.threads) if classical else load(spec).denoise
        for channels in entry.channels:
            images = table_speed.noisy_photograph(channels, sigma)
            ms, seconds = table_speed.milliseconds(
                run, images, sigma, options.runs, warm_up=not classical
            )
            precision = "float32" if classical else options.precision
            row = {"name": entry.name, "channels": channels, "precision": precision}
            processor = f"{table_speed.processor()} ({processor_kind()})"
            row |= {"ms_per_megapixel": ms, "seconds": seconds, "threads": options.threads}
            row |= {"runs": options.runs, "processor": processor}
            side = table_speed.SIDE
            note = (
                f"Milliseconds per megapixel: median of {options.runs} runs (one if slow) on "
                f"{side}×{side} pixels, {options.threads} threads, {processor}."
            )
            old = read_speed(output)["rows"]
            rows = table_speed.merged(old, [row])
            if len(rows) < len(old):
                print(f"{output / 'speed.json'}: rows of other settings or machines are dropped")
            require_own_speed(output)
            write_json(output / "speed.json", {"rows": rows, "note": note})
            print(f"{entry.label}, {channels} channel(s), {precision}: {ms:,.0f} ms/MP", flush=True)


def require_own_picture(path: Path) -> None:
    """Raises `UserError` where a picture is none that an earlier table drew."""
    require_replaceable(path, f"--output={path.parent}", is_recorded)


def draw_pareto(rows, speed: dict, output: Path) -> None:
    """Writes pareto_SET.png, quality against time, for each set with rows that were timed."""
    from benchmarks.results import pareto

    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        own = [row for row in rows if row["dataset"] == dataset]
        levels = sorted({row["sigma"] for row in own})
        sigma = 25.0 if 25.0 in levels else levels[0]
        found = pareto.points(own, speed["rows"], dataset, sigma)
        if len(found) > 1:
            path = output / f"pareto_{dataset}.png"
            require_own_picture(path)
            pareto.draw(found, f"{own[0]['title']}, σ = {sigma:g}", speed["note"], path)
            record(path)


def main(given: Given) -> None:
    """Makes the missing cells and writes the table after each, or measures the speed."""
    options = given.make(Options)
    sigmas = parse_sigmas(options.sigmas)
    if options.speed:
        from benchmarks.results.table_speed import limit_threads

        limit_threads(options.threads)
    from benchmarks.results.table_models import find_entries
    from benchmarks.results.table_work import find_sets, make_table, require_own_table

    check = require_own_speed if options.speed else require_own_table
    check(Path(options.output))
    image_sets = (
        [] if options.speed else find_sets(options.sets, options.data_dir, options.max_images)
    )
    entries, left_out = find_entries(options.peers, options.models)
    for sentence in left_out:
        print(f"note: {sentence}")
    load, output = Loader(options.precision), Path(options.output)
    if options.speed:
        measure_speed(entries, 25.0 if 25.0 in sigmas else sigmas[0], load, output, options)
        return
    fields = {name: getattr(options, name) for name in ("seed", "precision", "max_images")}
    for image_set in image_sets:
        require_own_picture(output / f"pareto_{image_set.name}.png")
    speed = read_speed(output)
    rows = make_table(entries, image_sets, sigmas, load, fields, output, left_out, speed)
    draw_pareto(rows, speed, output)
    print((output / "table.md").read_text("utf-8"))
    print(f"The table is {output / 'table.md'}")


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
