r"""Kills a training run repeatedly and verifies that it ends like an undisturbed run.

Example:
  python -m benchmarks.robustness.chaos --kills=20 --damages=2 --seed=0 --folder=out/chaos

Each kill is a SIGKILL after a new checkpoint and a seeded delay, so that some interrupt the writing
of the next one. Before --damages of the restarts the newest checkpoint is damaged (one byte
flipped, or truncated to half). Every restart must log a resume from an intact checkpoint, and the
hash of the final weights must be that of the undisturbed run. Exit code 0 if so, 1 if not.
"""

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--preset=gradnet_tiny",
    "--dataset=sample",
    "--crop_size=24",
    "--batch_size=4",
    "--naive_steps=10",
    "--log_every=1",
    "--validate_every=100000",
]


def start(workdir: Path, steps: int, every: int) -> subprocess.Popen:
    """Starts train.py on the run's folder."""
    flags = [*FLAGS, f"--steps={steps}", f"--checkpoint_every={every}", f"--workdir={workdir}"]
    with open(workdir.with_suffix(".err"), "ab") as err:
        return subprocess.Popen(
            [sys.executable, "train.py", *flags], cwd=ROOT, stdout=err, stderr=err
        )


def checkpoints(workdir: Path) -> list[Path]:
    """Returns the run's checkpoints, oldest first."""
    return sorted((workdir / "checkpoints").glob("step-*"))


def weights_hash(workdir: Path, steps: int) -> str:
    """Returns a sha256 over all weights of the final checkpoint, by value."""
    import h5py

    digest = hashlib.sha256()
    with h5py.File(workdir / f"checkpoints/step-{steps:08d}/model.weights.h5") as file:
        names: list[str] = []
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        for name in sorted(names):
            digest.update(name.encode() + file[name][()].tobytes())
    return digest.hexdigest()


def kill_after_next_checkpoint(process: subprocess.Popen, workdir: Path, delay: float) -> bool:
    """Waits for a new checkpoint and `delay` seconds, then kills the process.

    Returns:
        Whether the process was still running.
    """
    known = {path.name for path in checkpoints(workdir)}
    while process.poll() is None:
        if any(path.name not in known for path in checkpoints(workdir)):
            time.sleep(delay)
            running = process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
            return running
        time.sleep(0.002)
    return False


def damage(folder: Path, kind: str) -> None:
    """Flips a byte in the middle of the weights, or truncates the file to half."""
    path = folder / "model.weights.h5"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    if kind == "flip":
        data[middle] ^= 1
    path.write_bytes(data if kind == "flip" else data[:middle])


def run_chaos(arguments) -> int:
    """Runs both trainings and prints the results; returns the exit code."""
    steps, every = arguments.every * (6 * arguments.kills + 10), arguments.every
    folder = Path(arguments.folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    calm, stormy = folder / "calm", folder / "stormy"
    if start(calm, steps, every).wait() != 0:
        print(f"the undisturbed run failed; see {calm.with_suffix('.err')}", file=sys.stderr)
        return 1
    seeded = random.Random(arguments.seed)
    damaged_at = set(seeded.sample(range(1, arguments.kills), arguments.damages))
    expected, kills, halves = [], 0, 0
    while kills < arguments.kills:
        process = start(stormy, steps, every)
        if not kill_after_next_checkpoint(process, stormy, seeded.uniform(0.0, arguments.delay)):
            break
        kills += 1
        good = checkpoints(stormy)
        halves += len(list((stormy / "checkpoints").glob(".partial-*")))
        if kills in damaged_at and len(good) > 1:
            damage(good[-1], seeded.choice(["flip", "cut"]))
            good = good[:-1]
        expected.append(int(good[-1].name.removeprefix("step-")))
        print(f"kill {kills}: {good[-1].name} is the last good checkpoint", flush=True)
    code = start(stormy, steps, every).wait()
    lines = (stormy / "log.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    resumed = [row["step"] for row in rows if row.get("event") == "resume"]
    # A resume from an older checkpoint drops later rows, including those of later resumes.
    kept = [step for place, step in enumerate(expected) if step <= min(expected[place:])]
    trained = [row["step"] for row in rows if "loss" in row]
    same = code == 0 and weights_hash(calm, steps) == weights_hash(stormy, steps)
    whole = trained == list(range(1, steps + 1))
    print(
        f"{kills} kills ({halves} while writing a checkpoint), {arguments.damages} damaged "
        f"checkpoints, {steps} steps\nresumes as expected: {resumed == kept}\n"
        f"log without gaps or repetitions: {whole}\nsame hash of all weights: {same}"
    )
    return 0 if same and whole and resumed == kept and kills == arguments.kills else 1


def main() -> int:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--damages", type=int, default=2, help="fewer than the kills")
    parser.add_argument("--every", type=int, default=5, help="steps between checkpoints")
    parser.add_argument(
        "--delay", type=float, default=0.15, help="longest delay of a kill, seconds"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default="out/chaos")
    return run_chaos(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
