"""Shared parts of the REST and gRPC clients: retries, load test, command line, files."""

import argparse
import dataclasses
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from export.verify.formats import MOST_VERSION
from gradnet_tf.images.image_files import (
    read_image,
    to_float,
    to_uint8,
    write_image,
)
from gradnet_tf.images.photo_files import decode_photo, read_bytes, read_photo
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from gradnet_tf.utils.files import atomic_write
from gradnet_tf.utils.options import ArgumentParser, path_text
from gradnet_tf.utils.ownership import Inputs, is_recorded, record, require_replaceable

#: A longer deadline is a slip, and far longer ones are beyond the system's timers.
_MOST_SECONDS = 86_400.0

Answer = TypeVar("Answer")


def one_line(text: str) -> str:
    """Returns what somebody else wrote as one line that does nothing to a terminal."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))[:300]


def require_result(
    answer: list[bytes] | np.ndarray, inputs: Mapping[str, list[bytes] | np.ndarray]
) -> bytes | np.ndarray:
    """Returns the one result in an answer, which is what was asked for.

    Args:
        answer: from a transport.
        inputs: of the request, with one image.

    Returns:
        A PNG file as large as the image, or an array (H, W, C), uint8 or float, of its shape.

    Raises:
        Refused: the answer is something else.
    """
    if len(answer) != 1:
        raise Refused(f"the server answered {len(answer)} results, expected 1")
    result = answer[0]
    if "images" in inputs:
        return _require_array(np.asarray(result), inputs["images"][0])
    if not isinstance(result, bytes):
        raise Refused("the server answered no file")
    try:
        found = decode_photo(result, "the server's answer")
    except UserError as error:
        raise Refused(one_line(str(error))) from error
    size = decode_photo(inputs["image_bytes"][0], "the image").pixels.shape[:2]
    if found.format != "png" or found.pixels.shape[:2] != size:
        shape = "×".join(map(str, found.pixels.shape[1::-1]))
        raise Refused(
            f"the server answered a {found.format.upper()} of {shape} pixels, expected a PNG of "
            f"{size[1]}×{size[0]}"
        )
    return result


def _require_array(result: np.ndarray, image: np.ndarray) -> np.ndarray:
    if result.shape != image.shape or result.dtype.kind not in "iuf":
        raise Refused(
            f"the server answered {result.dtype} of shape {result.shape}, expected {image.shape}"
        )
    with np.errstate(over="ignore"):
        floats = result.astype(np.float32)
    if not np.isfinite(floats).all():
        raise Refused("the server answered NaN or infinities")
    if image.dtype != np.uint8:
        return floats
    if (result != np.clip(np.rint(result), 0, 255)).any():
        raise Refused("the server answered values that are no whole numbers from 0 to 255")
    return result.astype(np.uint8)


class Unreachable(ConnectionError):
    """The server is unreachable, too busy, or slower than the deadline; a retry may succeed."""


class Refused(RuntimeError):
    """The server rejected the request; a retry would fail, too."""


def with_retries(
    call: Callable[[], Answer],
    retries: int = 4,
    first_delay: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Returns the result of `call`, which is retried after `Unreachable`.

    Args:
        call: raises `Unreachable` or `Refused`.
        retries: calls after the first.
        first_delay: seconds before the second call, doubled for each further one. Waits are
            randomly shortened by up to half, so that clients do not retry at the same time.
        sleep: waits for a number of seconds.
    """
    for attempt in range(retries):
        try:
            return call()
        except Unreachable:
            sleep(first_delay * 2**attempt * random.uniform(0.5, 1.0))
    return call()


@dataclasses.dataclass(frozen=True)
class Load:
    """The results of a load test.

    Attributes:
        answered: item and seconds of each successful request.
        errors: messages of failed requests.
        seconds: time from the first request to the last answer.
    """

    answered: list[tuple[str, float]]
    errors: list[str]
    seconds: float


def run_load(
    send: Callable[[str], object], items: Sequence[str], count: int, concurrency: int
) -> Load:
    """Calls `send` `count` times for `items` in turn, `concurrency` at a time, after a warm-up."""

    def timed(item):
        start = time.perf_counter()
        try:
            send(item)
        except (Refused, Unreachable) as error:
            return None, str(error)
        return (item, time.perf_counter() - start), None

    _, error = timed(items[0])
    if error is not None:
        return Load([], [error], 0.0)
    start = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        results = list(pool.map(timed, (items[n % len(items)] for n in range(count))))
    seconds = time.perf_counter() - start
    answered = [answer for answer, _ in results if answer]
    return Load(answered, [error for _, error in results if error], seconds)


def summary(load: Load, pixels: Mapping[str, int]) -> str:
    """Returns the throughput and latency percentiles; `pixels` are those of each item."""
    if not load.answered:
        return "no request was answered"
    megapixels = sum(pixels[item] for item, _ in load.answered) / 1e6
    times = np.array([seconds for _, seconds in load.answered]) * 1e3
    marks = ", ".join(f"p{mark} {np.percentile(times, mark):.1f}" for mark in (50, 90, 99))
    rates = f"{len(times) / load.seconds:.2f} requests/s, {megapixels / load.seconds:.3f} MP/s"
    return (
        f"{len(times)} requests in {load.seconds:.2f} s: {rates}\n"
        f"latency in ms: {marks}, max {times.max():.1f}"
    )


SIGNATURES = ("encoded", "uint8", "serving_default")


class Transport(Protocol):
    """Sends requests to a server."""

    def predict(self, signature: str, inputs: dict, timeout: float) -> list[bytes] | np.ndarray:
        """Returns the output, bytes per image or an array; raises `Unreachable` or `Refused`."""

    def close(self) -> None:
        """Closes the connection."""


def client_main(
    make_transport: Callable[[str, str, int | None], Transport],
    name: str,
    doc: str,
    url: str,
    argv: list[str] | None = None,
) -> int:
    """Runs a client's command line and returns the exit code.

    Args:
        make_transport: maps URL, model name and version to the transport.
        name: name of the module, for the usage.
        doc: beginning of the help text.
        url: default of `--url`.
        argv: `sys.argv[1:]` by default.
    """
    parser = ArgumentParser(
        prog=f"python -m {name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("images", nargs="+", type=path_text, metavar="IMAGE", help="PNG or JPEG files")
    add(
        "--output",
        type=path_text,
        metavar="DIR",
        help="folder for the results, a PNG for each image",
    )
    add("--url", default=url, help=f"the server (default: {url})")
    add("--model-name", default="denoiser", help="name of the model on the server")
    add("--version", type=int, help="the model's version (default: the server's choice)")
    add("--signature", choices=SIGNATURES, default="encoded", help="default: encoded")
    add("--sigma", type=float, help="noise level on the 0-255 scale, for networks that need it")
    add("--channels", type=int, choices=(1, 3), default=3, help="of arrays: 3 (default) or 1")
    add("--timeout", type=float, default=60.0, help="deadline of a request in seconds")
    add("--retries", type=int, default=4, help="retries if the server is unreachable")
    add("--benchmark", type=int, metavar="N", help="send N requests and print their speed")
    add("--concurrency", type=int, default=1, help="parallel requests in the benchmark")
    return guarded(lambda: _run(parser.parse_args(argv), make_transport), argv)


def _run(arguments, make_transport) -> int:
    if not arguments.benchmark and not arguments.output:
        raise UserError("--output: expected a folder for the results, or --benchmark=N.")
    for flag, least in (("timeout", 0.001), ("retries", 0), ("benchmark", 1), ("concurrency", 1)):
        value = getattr(arguments, flag)
        if value is not None and not value >= least:
            raise UserError(f"--{flag}: expected {least} or more. Received: {value}.")
    if arguments.timeout > _MOST_SECONDS:
        raise UserError(f"--timeout: expected at most a day. Received: {arguments.timeout} s.")
    targets = {} if arguments.benchmark else _targets(arguments.images, Path(arguments.output))
    # Reads all files before connecting.
    requests = {path: _inputs(path, arguments) for path in arguments.images}
    if arguments.version is not None and not 1 <= arguments.version <= MOST_VERSION:
        raise UserError(
            f"--version: expected a number from 1 to {MOST_VERSION}. Received: {arguments.version}."
        )
    transport = make_transport(arguments.url, arguments.model_name, arguments.version)

    def send(path):
        return with_retries(
            lambda: transport.predict(arguments.signature, requests[path], arguments.timeout),
            arguments.retries,
        )

    try:
        if arguments.benchmark:
            return _benchmark(arguments, send)
        return _denoise(targets, requests, send)
    finally:
        transport.close()


def _denoise(targets: dict[str, Path], requests: dict[str, dict], send) -> int:
    failures = 0
    for path, target in targets.items():
        try:
            result = require_result(send(path), requests[path])
        except Refused as error:
            failures += 1
            print(f"error: {path}: {error}", file=sys.stderr)
            continue
        except Unreachable as error:
            print(f"error: {error}\nIs the server running, and is --url right?", file=sys.stderr)
            return EXIT_SOME_FAILED
        _require_own(targets, path)
        try:
            if isinstance(result, bytes):
                atomic_write(target, result)
            else:
                write_image(target, result if result.dtype == np.uint8 else to_uint8(result))
            record(target)
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror or error}") from error
        print(target)
    return EXIT_SOME_FAILED if failures else EXIT_OK


def _benchmark(arguments, send) -> int:
    pixels = {path: read_photo(path).pixels[..., 0].size for path in arguments.images}
    load = run_load(send, arguments.images, arguments.benchmark, arguments.concurrency)
    print(summary(load, pixels))
    if load.errors:
        print(f"error: {len(load.errors)} requests failed: {load.errors[0]}", file=sys.stderr)
    return EXIT_SOME_FAILED if load.errors else EXIT_OK


def _targets(images: list[str], output: Path) -> dict[str, Path]:
    """Returns the output file of each image."""
    targets = {path: output / f"{Path(path).stem}.png" for path in images}
    if len(set(targets.values())) < len(images):
        raise UserError(f"several images would be written to the same file in {output}.")
    for path, target in targets.items():
        if target.exists() and target.samefile(path):
            raise UserError(f"{path}: the result would overwrite it; use another --output.")
    _require_own(targets)
    return targets


def _require_own(targets: dict[str, Path], path: str | None = None) -> None:
    """Raises if a result would replace an input, or a file that this command did not write."""
    inputs = Inputs(targets)
    for target in targets.values() if path is None else [targets[path]]:
        require_replaceable(target, f"--output={target.parent}", is_recorded, inputs)


def _inputs(path: str, arguments) -> dict:
    """Returns the inputs of a request for one image."""
    sigma = {} if arguments.sigma is None else {"sigma": np.float32([arguments.sigma])}
    if arguments.signature == "encoded":
        return {"image_bytes": [read_bytes(path)], **sigma}
    image = read_image(path, arguments.channels)[np.newaxis]
    return {"images": image if arguments.signature == "uint8" else to_float(image), **sigma}
