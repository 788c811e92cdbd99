r"""Times the network in every runtime and precision, ours and others', in one run.

Example:
  python -m benchmarks.speed --sides=256,1024 --threads=1,2 --output=out/speed
  python -m benchmarks.speed --photos=1,12              # whole programs on photographs, only
  python -m benchmarks.speed --train=adam,muon          # training steps of gradnet_small, only
  python -m benchmarks.speed --check          # names what became slower than the stored ratios
The outputs are compared before anything is timed. Then all take turns, round after round, so that
other work on the machine falls on each alike. Printed are the best and the median time, both as
ratios to the fastest peer of the same precision or better, and the part of this machine's own peak:
a matrix product of 2048³ between the rounds. Peers are PyTorch, OpenVINO and ONNX Runtime with the
same weights, where they are installed (pip install torch openvino onnxruntime onnx).
"""

import dataclasses
import itertools
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from benchmarks.measuring import in_own_process, processor_kind
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from gradnet_tf.utils.files import write_json
from gradnet_tf.utils.options import CommandLine, Given, option


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        model: name of shipped weights (default: gradnet_small_color_blind; with --photos those that
            `gradnet denoise` takes by itself, gradnet_small_color_real).
        sides: sides of square pictures, which are run whole.
        megapixels: size of a picture that is run in tiles; 0 for none.
        photos: megapixels of photographs; instead of pictures in memory, whole programs are timed
            that read, denoise and write one, cold start included.
        threads: numbers of processor cores, each in a process of its own.
        rounds: times that each is timed.
        seconds: time after which no further round of a picture begins.
        train: optimizers; instead of pictures, training steps of gradnet_small in bfloat16 are
            timed, 8 crops of 80×80 each.
        output: folder for speed.json and speed.png.
        check: compare with the stored ratios and fail if something became slower.
        store: replace the stored ratios of this kind of processor.
    """

    model: str | None = None
    sides: tuple[int, ...] = option((256, 1024), least=16, most=8192)
    megapixels: float = option(0.0, least=0.0, most=200.0)
    photos: tuple[float, ...] = option((), least=0.01)
    threads: tuple[int, ...] = option((2,), least=1)
    rounds: int = option(7, least=1)
    seconds: float = option(120.0, least=0.0)
    train: tuple[str, ...] = option((), choices=("adam", "muon"))
    output: str | None = None
    check: bool = False
    store: bool = False


COMMAND_LINE = CommandLine(Options)
#: Ratios of an earlier run by kind of processor, and by what part more is slower than chance.
STORED, _TOLERANCE = Path(__file__).with_name("ratios.json"), 0.1
_PEAK_SIDE = 2048
#: The weights whose ratios are stored.
MODEL = "gradnet_small_color_blind"


def time_all(model: str, side: int, height: int, rounds: int, threads: int, seconds: float) -> dict:
    """Times all contenders on one picture, in a process that uses `threads` cores.

    Args:
        model: name of shipped weights.
        side: width of the picture.
        height: its height; another than the width means in tiles, and without peers.
        rounds: times that each is timed.
        threads: number of cores.
        seconds: time after which no further round begins.

    Returns:
        `cases` ({name: {"precision", "ours", "psnr", "seconds", "processor"}}; the last is the time
        of all cores), `macs` per pixel and `peak` ({precision: multiply-accumulates per second}).
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    from benchmarks.results.complexity import macs_per_pixel
    from benchmarks.speed.contenders import contenders
    from gradnet_tf.denoiser import load_denoiser

    keras = load_denoiser(model, "float32", runtime="keras").model
    draw, tiled = np.random.default_rng(0), side != height
    slope = np.linspace(0.1, 0.8, side, dtype=np.float32)[:, None]
    picture = np.broadcast_to(slope, (1, height, side, keras.channels))
    picture = picture + draw.normal(0, 0.1, picture.shape).astype(np.float32)
    calls, cases, exact = {}, {}, None
    for each in contenders(model, keras):
        call = each.tiles if tiled else each.run
        if call is None:
            continue
        try:
            result = call(picture)
        except Exception as error:
            if each.is_ours:
                raise
            note(f"without {each.name}: {str(error).splitlines()[0][:80]}")
            continue
        exact = result if exact is None else exact
        error = max(float(np.mean((result - exact) ** 2, dtype=np.float64)), 1e-12)
        calls[each.name] = call
        facts = {"precision": each.precision, "ours": each.is_ours, "seconds": [], "processor": []}
        cases[each.name] = {**facts, "psnr": -10 * np.log10(error)}
    products = _products()
    peak = dict.fromkeys(products, 0.0)
    end = time.perf_counter() + seconds
    for number in range(rounds):
        if number and time.perf_counter() > end:
            break
        for name, call in calls.items():
            start, used = time.perf_counter(), time.process_time()
            call(picture)
            cases[name]["seconds"].append(time.perf_counter() - start)
            cases[name]["processor"].append(time.process_time() - used)
        for precision, product in products.items():
            start = time.perf_counter()
            product()
            rate = _PEAK_SIDE**3 / (time.perf_counter() - start)
            peak[precision] = max(peak[precision], rate)
    return {"cases": cases, "macs": macs_per_pixel(keras), "peak": peak}


def _products() -> dict:
    """Returns a function for each precision that multiplies two matrices and waits."""
    from keras import ops

    found = {}
    values = np.random.default_rng(0).normal(size=(_PEAK_SIDE, _PEAK_SIDE))
    for precision in ("float32", "bfloat16"):
        matrix = ops.convert_to_tensor(values, precision)

        def product(matrix=matrix):
            float(ops.matmul(matrix, matrix)[0, 0])

        product()
        found[precision] = product
    return found


def table(found: dict, pixels: int) -> list[dict]:
    """Returns a row for each contender, the fastest first.

    The peer of a row is the fastest one that computes as exactly or more so; rows of 8 bits are
    compared with bfloat16 peers, too.
    """
    peers = {name: case for name, case in found["cases"].items() if not case["ours"]}
    rows = []
    for name, case in found["cases"].items():
        best = min(case["seconds"])
        exact = [p for p in peers.values() if p["precision"] in ("float32", case["precision"])]
        others = list(peers.values()) if case["precision"] == "int8" else exact
        ratios = [_ratio(case, peer) for peer in others]
        peak = found["peak"].get(case["precision"], max(found["peak"].values()))
        rows.append(
            {
                "name": name,
                "ours": case["ours"],
                **_times(case),
                "ratio": max(ratios, default=None),
                "peak": found["macs"] * pixels / best / peak,
                "psnr": case["psnr"],
            }
        )
    return sorted(rows, key=lambda row: row["best_ms"])


def _times(case: dict) -> dict[str, float]:
    """Returns a case's best, median and least processor time in milliseconds."""
    return {
        "best_ms": 1e3 * min(case["seconds"]),
        "median_ms": 1e3 * statistics.median(case["seconds"]),
        "processor_ms": 1e3 * min(case["processor"]),
    }


def _ratio(case: dict, peer: dict) -> float:
    """Returns a case's best time relative to a peer's; above 1 is slower."""
    return min(case["seconds"]) / min(peer["seconds"])


def main(given: Given) -> int:
    """Times, prints the tables, and compares or stores the ratios."""
    options = given.make(Options)
    _require_possible(options)
    kind = processor_kind()
    if options.train:
        return _time_training(options, kind)
    if options.photos:
        return _time_photos(options, kind)
    sizes = [(side, side) for side in options.sides]
    if options.megapixels:
        width = round((1.5e6 * options.megapixels) ** 0.5)
        sizes.append((width, round(width / 1.5)))
    model = options.model or MODEL
    results, ratios = {}, {}
    for threads in options.threads:
        for width, height in sizes:
            name = f"{width}x{height}, {threads} threads"
            limits = (options.rounds, threads, options.seconds)
            arguments = (model, width, height, *limits)
            found = in_own_process("benchmarks.speed.__main__:time_all", *arguments)
            rows = table(found, width * height)
            results[name] = rows
            _print(name, kind, rows, found)
            base = [row["best_ms"] for row in rows if row["name"] == "litert float32"]
            case = name if model == MODEL else f"{model}, {name}"
            ratios |= {f"{case}: {r['name']}": r["best_ms"] / ms for r in rows for ms in base}
    _write(options, kind, results)
    if not ratios and (options.check or options.store):
        raise UserError(
            f"--check and --store compare with LiteRT's float32, and {model} does not run "
            "in it here.\nInstall ai-edge-litert, or give weights that have a .tflite file."
        )
    stored = json.loads(STORED.read_text("utf-8")) if STORED.is_file() else {}
    if options.store:
        write_json(STORED, {**stored, kind: {**stored.get(kind, {}), **ratios}})
    return _check(ratios, stored.get(kind, {})) if options.check else EXIT_OK


def _require_possible(options: Options) -> None:
    cores = len(os.sched_getaffinity(0))
    if max(options.threads) > cores:
        raise UserError(
            f"--threads: this process may use {cores} cores. Received: {max(options.threads)}."
        )
    if (options.check or options.store) and (options.train or options.photos):
        raise UserError(
            "--check and --store are for pictures in memory. Received: --train or --photos, too.\n"
            "Leave these out."
        )


def _time_photos(options: Options, kind: str) -> int:
    """Times whole programs, prints a table for each size, and writes speed.json and speed.png."""
    from benchmarks.speed.programs import time_programs

    results = {}
    for size in options.photos:
        cases = time_programs(options.model, size, options.rounds, options.seconds)
        results[f"{size:g} megapixels"] = rows = program_rows(cases)
        print(f"\n{size:g} megapixels, {kind}; a JPEG in, a JPEG out, cold start included\n")
        print("| | best, s | median, s | cores' time, s | memory, MB | to gradnet denoise |")
        print("|---|---:|---:|---:|---:|---:|")
        for row in rows:
            shown = f"**{row['name']}**" if row["ours"] else row["name"]
            print(
                f"| {shown} | {row['best_ms'] / 1e3:.2f} | {row['median_ms'] / 1e3:.2f} "
                f"| {row['processor_ms'] / 1e3:.2f} | {row['memory'] / 1e6:.0f} "
                f"| {row['ratio']:.2f} |",
                flush=True,
            )
    _write(options, kind, results)
    return EXIT_OK


def program_rows(cases: dict[str, dict]) -> list[dict]:
    """Returns a row for each case of `time_programs`, the fastest first.

    The ratio is that of the best times to the first case, `gradnet denoise` as it is.
    """
    first = min(next(iter(cases.values()))["seconds"])
    rows = [
        {
            **{"name": name, "ours": case["ours"], **_times(case)},
            "memory": max(case["memory"]),
            "ratio": min(case["seconds"]) / first,
        }
        for name, case in cases.items()
    ]
    return sorted(rows, key=lambda row: row["best_ms"])


def _write(options: Options, kind: str, results: dict[str, list[dict]], chart: bool = True) -> None:
    """Writes speed.json, and speed.png if wanted, to --output if there is one."""
    if options.output:
        folder = Path(options.output)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "speed.json", {"processor": kind, "results": results})
        if chart:
            _chart(results, folder / "speed.png")


def _time_training(options: Options, kind: str) -> int:
    """Times training steps, prints a table for each optimizer, and writes speed.json."""
    results = {}
    for optimizer, threads in itertools.product(options.train, options.threads):
        limits = (options.rounds, threads, options.seconds)
        arguments = ("gradnet_small", optimizer, *limits)
        found = in_own_process("benchmarks.speed.training_cell:time_training", *arguments)
        name = f"a step with {optimizer}, {threads} threads"
        results[name] = rows = step_rows(found["cases"])
        print(f"\n{name}, {kind}; best and median to PyTorch's in bfloat16\n")
        print("| | best, ms | median, ms | ratios | processor time, best, ms | ratio |")
        print("|---|---:|---:|---:|---:|---:|")
        for row in rows:
            shown = f"**{row['name']}**" if row["ours"] else row["name"]
            *ratios, last = [f"{each:.2f}" for each in row["ratios"]] or ["-", "-"]
            print(
                f"| {shown} | {row['best_ms']:.1f} | {row['median_ms']:.1f} | {', '.join(ratios)} "
                f"| {row['processor_ms']:.1f} | {last} |"
            )
    _write(options, kind, results, chart=False)
    return EXIT_OK


def step_rows(cases: dict) -> list[dict]:
    """Returns a row for each case of `time_training`; ratios are to PyTorch's bfloat16.

    Args:
        cases: {name: {"ours", "seconds", "processor"}}.
    """
    peer = cases.get("PyTorch bfloat16")
    rows = []
    for name, case in cases.items():
        times = _times(case)
        ratios = [times[key] / value for key, value in _times(peer).items()] if peer else []
        rows.append({"name": name, "ours": case["ours"], **times, "ratios": ratios})
    return rows


def _print(name: str, kind: str, rows: list[dict], found: dict) -> None:
    peak = ", ".join(f"{each} {2 * rate / 1e9:.0f}" for each, rate in found["peak"].items())
    print(f"\n{name}, {kind}; matrix product in GFLOP/s: {peak}\n")
    print("| | best, ms | median, ms | cores' time, ms | to peer | of the peak | dB to float32 |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        shown = f"**{row['name']}**" if row["ours"] else row["name"]
        print(
            f"| {shown} | {row['best_ms']:.1f} | {row['median_ms']:.1f} "
            f"| {row['processor_ms']:.1f} | {ratio} | {row['peak']:.0%} | {row['psnr']:.0f} |",
            flush=True,
        )


def _check(ratios: dict[str, float], stored: dict[str, float]) -> int:
    """Names what became slower relative to LiteRT's float32 than stored; returns the exit code."""
    if not stored:
        print("no stored ratios for this kind of processor: run with --store first")
        return EXIT_OK
    slower = [
        f"{name}: {ratios[name]:.2f} of LiteRT's float32 time, stored {stored[name]:.2f}"
        for name in ratios.keys() & stored.keys()
        if ratios[name] > stored[name] * (1 + _TOLERANCE)
    ]
    print("\n".join(["", *sorted(slower)]) if slower else "\nnothing became slower")
    return EXIT_SOME_FAILED if slower else EXIT_OK


def _chart(results: dict[str, list[dict]], path: Path) -> None:
    """Draws the best times as bars, ours dark, one panel for each size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(results), figsize=(6 * len(results), 4), squeeze=False)
    for panel, (name, rows) in zip(panels[0], results.items(), strict=True):
        colors = ["#1f5f8b" if row["ours"] else "#b0b0b0" for row in rows]
        panel.barh([row["name"] for row in rows], [row["best_ms"] for row in rows], color=colors)
        panel.invert_yaxis()
        panel.set_title(name)
        panel.set_xlabel("ms, best of the rounds")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
