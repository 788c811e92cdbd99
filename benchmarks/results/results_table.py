r"""Makes the table of docs/results.md: PSNR and SSIM of our weights beside other denoisers.

Example:
  python -m benchmarks.results.results_table --data_dir=DATA --peers=PEERS --output=out/table
  python -m benchmarks.results.results_table --speed --peers=PEERS --output=out/table  # quiet
Every score is one that evaluate.py would give. OUTPUT gets table.md, table.csv, results.jsonl,
head.md (a short table) and a file for each finished cell: the same command goes on from there.
With --speed only the time per megapixel is measured, which later tables have as a column.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import flags  # noqa: E402

from benchmarks.results.levels import parse_sigmas  # noqa: E402
from gradnet_tf.models.presets import PRECISIONS  # noqa: E402
from gradnet_tf.utils.command import run_script  # noqa: E402

FLAGS = flags.FLAGS

flags.DEFINE_list("sets", ["set12", "bsd68", "cbsd68"], "image sets by name")
flags.DEFINE_list("sigmas", ["15", "25", "50"], "noise levels on the 0-255 scale")
flags.DEFINE_string("data_dir", None, "folder that holds the sets")
flags.DEFINE_string("peers", None, "folder of other projects' weights (docs/results.md)")
flags.DEFINE_string("output", "out/table", "folder to write")
flags.DEFINE_list(
    "models", ["all"], "rows: all, ours, peers, classical, a row's name, or what evaluate.py takes"
)
flags.DEFINE_integer("max_images", None, "take the first so many images of each set")
flags.DEFINE_integer("seed", 0, "seed of the noise")
flags.DEFINE_string("precision", "float32", "of networks, one of " + ", ".join(PRECISIONS))
flags.DEFINE_bool("speed", False, "measure the time per megapixel instead of the scores")
flags.DEFINE_integer("threads", 2, "threads of --speed", lower_bound=1)
flags.DEFINE_integer("runs", 5, "runs of --speed that count", lower_bound=1)


class Loader:
    """Loads each model once; classical denoisers, which are no networks, in float32."""

    def __init__(self):
        self._loaded, self._macs = {}, {}

    def __call__(self, spec: str):
        """Returns the denoiser of a spec."""
        from gradnet_tf.denoiser import load_denoiser
        from gradnet_tf.models.classical import classical_name

        if spec not in self._loaded:
            precision = "float32" if classical_name(spec) else FLAGS.precision
            self._loaded[spec] = load_denoiser(spec, precision)
        return self._loaded[spec]

    def macs(self, spec: str) -> float | None:
        """Returns the MACs per pixel, `None` for what is no Keras model."""
        from benchmarks.results.complexity import macs_per_pixel

        if spec not in self._macs:
            model = self(spec).model
            self._macs[spec] = None if model is None else macs_per_pixel(model)
        return self._macs[spec]


def read_speed(output: Path) -> dict:
    """Returns the contents of speed.json; no rows where it is missing."""
    try:
        return json.loads((output / "speed.json").read_text("utf-8"))
    except FileNotFoundError:
        return {"rows": [], "note": ""}


def measure_speed(entries, sigma: float, load: Loader, output: Path) -> None:
    """Measures every row, in colour and in grey, and writes speed.json after each."""
    from benchmarks.results import table_speed
    from gradnet_tf.models.classical import classical_denoiser, classical_name
    from gradnet_tf.utils.files import write_json

    # Of one model per σ any will do: they are the same network.
    for entry in entries:
        spec = entry.spec(sigma) or next(iter(entry.specs.values()))
        classical = classical_name(spec)
        run = classical_denoiser(spec, FLAGS.threads) if classical else load(spec).denoise
        for channels in entry.channels:
            images = table_speed.noisy_photograph(channels, sigma)
            ms, seconds = table_speed.milliseconds(
                run, images, sigma, FLAGS.runs, warm_up=not classical
            )
            precision = "float32" if classical else FLAGS.precision
            row = {"name": entry.name, "channels": channels, "precision": precision}
            row |= {"ms_per_megapixel": ms, "seconds": seconds, "threads": FLAGS.threads}
            side = table_speed.SIDE
            note = (
                f"Milliseconds per megapixel: median of {FLAGS.runs} runs (one if slow) on "
                f"{side}×{side} pixels, {FLAGS.threads} threads, {table_speed.processor()}."
            )
            rows = table_speed.merged(read_speed(output)["rows"], [row])
            write_json(output / "speed.json", {"rows": rows, "note": note})
            print(f"{entry.label}, {channels} channel(s), {precision}: {ms:,.0f} ms/MP", flush=True)


def main() -> None:
    """Scores what is not scored yet and writes the table after every cell; or measures speed."""
    sigmas = parse_sigmas(FLAGS.sigmas)
    if FLAGS.speed:
        from benchmarks.results.table_speed import limit_threads

        limit_threads(FLAGS.threads)
    from benchmarks.results.table_models import find_entries
    from benchmarks.results.table_work import find_sets, make_table
    from gradnet_tf.utils.quiet import quiet_native_logs

    image_sets = [] if FLAGS.speed else find_sets(FLAGS.sets, FLAGS.data_dir, FLAGS.max_images)
    with quiet_native_logs():
        import gradnet_tf.evaluation.metrics  # noqa: F401 - brings the backend and its start-up chatter
    entries, left_out = find_entries(FLAGS.peers, FLAGS.models)
    for sentence in left_out:
        print(f"note: {sentence}")
    load, output = Loader(), Path(FLAGS.output)
    if FLAGS.speed:
        measure_speed(entries, 25.0 if 25.0 in sigmas else sigmas[0], load, output)
        return
    options = {"seed": FLAGS.seed, "precision": FLAGS.precision, "max_images": FLAGS.max_images}
    make_table(entries, image_sets, sigmas, load, options, output, left_out, read_speed(output))
    print((output / "table.md").read_text("utf-8"))
    print(f"The table is {output / 'table.md'}")


if __name__ == "__main__":
    run_script(main, __doc__)
