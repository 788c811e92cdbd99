r"""Measures the memory of a server under valid and invalid requests, after every tenth of them.

Example:
  python -m export --model=gradnet_tiny --output=exported --formats=saved_model
  python -m benchmarks.memory.serving_memory --model_dir=exported/saved_model --requests=1000
The stand-in for TF Serving runs as a separate process and gets requests through REST and gRPC in
turn. Images have one of twelve sizes, because TensorFlow caches a convolution for each new size,
up to 1,024 of them, and memory grows until then. The first fifth of the requests is the warm-up.
"""

import dataclasses
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.measuring import ROOT, process_memory
from export.serving.client import Refused
from export.serving.grpc_client import GrpcTransport
from export.serving.rest_client import RestTransport
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from gradnet_tf.utils.framework_start import quiet_native_logs
from gradnet_tf.utils.options import CommandLine, Given


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        model_dir: folder of versions, such as exported/saved_model.
        requests: number of requests.
        seed: seed of the images.
    """

    model_dir: str
    requests: int = 1000
    seed: int = 0


COMMAND_LINE = CommandLine(Options)


#: Heights and widths of the images.
SIZES = [(height, width) for height in (48, 97, 160) for width in (31, 64, 120, 200)]


class Server:
    """The stand-in as a separate process, on free ports."""

    def __init__(self, model_dir: str):
        command = [sys.executable, "-m", "tools.stand_in", f"--model_dir={model_dir}"]
        command += ["--rest_port=0", "--grpc_port=0"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        rest, grpc = self.process.stdout.readline(), self.process.stdout.readline()
        if not grpc:
            raise UserError(f"--model_dir={model_dir}: the server did not start.")
        self.transports = (
            RestTransport(rest.split()[1].split("/v1")[0], "denoiser"),
            GrpcTransport(grpc.split()[1], "denoiser"),
        )

    def stop(self) -> None:
        """Ends the process."""
        for transport in self.transports:
            transport.close()
        self.process.terminate()
        self.process.wait(timeout=60)
        self.process.stdout.close()


def mixed_requests(seed: int) -> list[tuple[str, dict, bool]]:
    """Returns requests of all kinds: (signature, inputs, whether it must succeed)."""
    from export.verify.checks import encode_png

    draw = np.random.default_rng(seed)
    requests = []
    for size in SIZES:
        levels = draw.integers(0, 256, (1, *size, 3), dtype=np.uint8)
        file = encode_png(levels[0])
        requests += [
            ("encoded", {"image_bytes": [file]}, True),
            ("uint8", {"images": levels}, True),
            ("encoded", {"image_bytes": [file[: len(file) // 2]]}, False),
            ("encoded", {"image_bytes": [b"junk" * 100, file]}, False),
        ]
    huge = file[:16] + (30000).to_bytes(4, "big") * 2 + file[24:]
    requests += [
        ("encoded", {"image_bytes": [huge]}, False),
        ("uint8", {"images": levels[:0]}, False),
        ("uint8", {"images": levels / np.float32(255)}, False),
        ("serving_default", {"images": levels[..., :1] / np.float32(255)}, False),
        ("encoded", {"image_bytes": [file], "other": levels}, False),
    ]
    return [requests[index] for index in draw.permutation(len(requests))]


def run(model_dir: str, count: int, seed: int = 0) -> list[tuple[int, float]]:
    """Sends `count` requests; returns ten rows of (requests so far, resident megabytes).

    Raises:
        UserError: the server did not start, or accepted or refused a request unexpectedly.
    """
    with quiet_native_logs():
        requests, server, rows = mixed_requests(seed), Server(model_dir), []
    try:
        for number in range(count):
            signature, inputs, good = requests[number % len(requests)]
            # The transports swap after each round, so that every request uses both.
            transport = server.transports[(number + number // len(requests)) % 2]
            try:
                transport.predict(signature, inputs, 60.0)
                answered = True
            except Refused:
                answered = False
            if answered != good:
                raise UserError(f"request {number} ({signature}): expected answered = {good}.")
            if (number + 1) % max(1, count // 10) == 0:
                rows.append((number + 1, process_memory(server.process.pid) / 2**20))
    finally:
        server.stop()
    return rows


def growth(rows: Sequence[tuple[int, float]]) -> float:
    """Returns the megabytes added after the first fifth."""
    warm = [megabytes for number, megabytes in rows if number >= rows[-1][0] / 5]
    return warm[-1] - warm[0]


def main(given: Given) -> int:
    """Prints the table; fails when memory grew by more than 5%."""
    options = given.make(Options)
    rows = run(options.model_dir, options.requests, options.seed)
    print("| requests | resident memory in MB |\n|---|---|")
    for number, megabytes in rows:
        print(f"| {number} | {megabytes:.0f} |")
    added = growth(rows)
    print(f"\ngrowth after the first fifth: {added:.1f} MB")
    return EXIT_SOME_FAILED if added > 0.05 * rows[0][1] else EXIT_OK


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
