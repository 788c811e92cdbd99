"""A tf.data service makes every example of an epoch once, the same for any number of workers."""

import contextlib
import dataclasses
import gc
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from multiworker_case import end, start_workers
from script_case import loaded_script

tf = pytest.importorskip("tensorflow")

from datasets.batches import PipelineConfig  # noqa: E402
from datasets.resolve import find_dataset  # noqa: E402
from datasets.service_client import check_flags, check_service, dispatcher_address  # noqa: E402
from datasets.service_pipeline import (  # noqa: E402
    Epochs,
    example_dataset,
    from_service,
    service_dataset,
)
from datasets.shard_writer import prepare  # noqa: E402
from datasets.stream import require_tensorflow  # noqa: E402
from gradnet_tf.command import run_script  # noqa: E402
from gradnet_tf.config import TrainConfig  # noqa: E402
from gradnet_tf.errors import UserError  # noqa: E402
from gradnet_tf.inference.image_files import write_image  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
CONFIG = PipelineConfig(batch_size=6, crop_size=16, sigma_min=10, sigma_max=50, seed=5)
SERVICE = tf.data.experimental.service
IMAGES, SMALL, SIZE = 11, 4, (40, 56)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Eleven images in four shards; a pixel's bytes are its row, its column and its image."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(IMAGES):
        height, width = (12, 56) if number == SMALL else SIZE
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[..., 0], pixels[..., 1] = np.mgrid[:height, :width]
        pixels[..., 2] = number
        write_image(folder / f"{number:02d}.png", pixels)
    return prepare(find_dataset("folder", folder), folder / "prepared", shards=4)


@contextlib.contextmanager
def running_service(workers):
    """Yields the address of a dispatcher with so many workers, all in this process."""
    dispatcher = SERVICE.DispatchServer(SERVICE.DispatcherConfig(port=0))
    address = dispatcher.target.removeprefix("grpc://")
    servers = [SERVICE.WorkerServer(SERVICE.WorkerConfig(address)) for _ in range(workers)]
    try:
        yield dispatcher.target
    finally:
        gc.collect()  # A worker waits for the readers it still has.
        for server in servers:
            server.stop()
        dispatcher.stop()


@pytest.fixture(scope="module")
def service():
    with running_service(1) as address:
        yield address


def collect(dataset):
    """Returns {(epoch, image): (noisy, clean)}; fails when one comes twice."""
    found = {}
    for noisy, clean, epoch, number in dataset.as_numpy_iterator():
        assert (epoch, number) not in found
        found[int(epoch), int(number)] = noisy, clean
    return found


def examples(prepared, first=0, count=3, config=CONFIG):
    return example_dataset(Epochs.of(prepared, config.crop_size), config, first, count)


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key, pair in ours.items():
        for one, other in zip(pair, theirs[key], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def reference(prepared):
    """What the pipeline makes without a service."""
    return collect(examples(prepared))


def test_an_epoch_has_every_image_that_is_large_enough_once(reference):
    numbers = [number for number in range(IMAGES) if number != SMALL]
    assert sorted(reference) == [(epoch, number) for epoch in range(3) for number in numbers]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_makes_the_same_examples_once_each(prepared, reference, workers):
    with running_service(workers) as address:
        assert_equal(collect(from_service(examples(prepared), address, "job")), reference)


def test_a_later_start_and_another_job_make_the_same_examples(prepared, reference, service):
    ours = collect(from_service(examples(prepared, first=1, count=2), service, "later"))
    assert_equal(ours, {key: pair for key, pair in reference.items() if key[0] >= 1})


def test_two_consumers_of_a_job_get_disjoint_examples_that_make_up_the_epochs(prepared, reference):
    with running_service(2) as address:
        found = read_in_turns(
            [iter(from_service(examples(prepared), address, "shared")) for _ in range(2)]
        )
    assert found[0] and found[1] and not found[0].keys() & found[1].keys()
    assert_equal(found[0] | found[1], reference)


def read_in_turns(streams):
    found, turns = [{}, {}], 0
    while streams[0] or streams[1]:
        each, turns = turns % 2, turns + 1
        element = next(streams[each], None) if streams[each] else None
        if element is None:
            streams[each] = None
            continue
        noisy, clean, epoch, number = (part.numpy() for part in element)
        assert (epoch, number) not in found[each]
        found[each][int(epoch), int(number)] = noisy, clean
    return found


def test_crops_are_pieces_of_their_image_anywhere_and_turned_all_eight_ways(prepared):
    seen, tops, lefts = set(), set(), set()
    for (_, number), (_, clean) in collect(examples(prepared, count=40)).items():
        assert clean.shape == (16, 16, 3) and (clean[..., 2] == number).all()
        place = clean.astype(int)
        # How row and column change along the two axes tells the flips and the transposition.
        down, right = place[1, 0, :2] - place[0, 0, :2], place[0, 1, :2] - place[0, 0, :2]
        seen.add((*down, *right))
        rows, columns = place[..., 0], place[..., 1]
        tops.add(rows.min())
        lefts.add(columns.min())
        i, j = np.mgrid[:16, :16]
        np.testing.assert_array_equal(rows, rows[0, 0] + down[0] * i + right[0] * j)
        np.testing.assert_array_equal(columns, columns[0, 0] + down[1] * i + right[1] * j)
    assert len(seen) == 8
    assert tops == set(range(SIZE[0] - 15)) and lefts == set(range(SIZE[1] - 15))


def noise_of(prepared, sigma_min, sigma_max):
    config = PipelineConfig(6, 32, sigma_min, sigma_max, seed=2)
    pairs = collect(examples(prepared, count=20, config=config)).values()
    clean = np.stack([clean for _, clean in pairs]).astype(np.float32) / np.float32(255)
    return 255 * (np.stack([noisy for noisy, _ in pairs]) - clean)


def test_noise_is_normal_independent_and_not_clipped(prepared):
    draws = noise_of(prepared, 25, 25) / 25
    assert draws.shape == (200, 32, 32, 3)
    assert abs(draws.mean()) < 0.005 and abs(draws.std() - 1) < 0.005
    assert abs((draws**3).mean()) < 0.02 and abs((draws**4).mean() - 3) < 0.05
    flat = draws.reshape(200, -1)
    assert abs(np.corrcoef(flat) - np.eye(200)).max() < 0.1  # between examples
    assert abs((flat[:, 1:] * flat[:, :-1]).mean()) < 0.01  # between neighbours
    half = flat.shape[1] // 2  # between the two halves that Box-Muller makes together
    assert abs((flat[:, :half] * flat[:, half:]).mean()) < 0.01


def test_sigma_is_uniform_in_its_range_and_one_level_is_that_level(prepared):
    sigmas = noise_of(prepared, 10, 50).std(axis=(1, 2, 3))
    assert sigmas.min() > 9.5 and sigmas.max() < 51.5
    assert np.histogram(sigmas, 4, (10, 50))[0].min() > 25
    assert (noise_of(prepared, 0, 0) == 0).all()


def test_another_seed_and_another_epoch_make_other_examples(prepared, reference):
    other = collect(examples(prepared, config=dataclasses.replace(CONFIG, seed=6)))
    assert all((other[key][0] != pair[0]).any() for key, pair in reference.items())
    assert (reference[0, 0][0] != reference[1, 0][0]).any()


def test_one_shard_is_enough(prepared, tmp_path, reference):
    single = prepare(prepared, tmp_path, shards=1)
    assert_equal(collect(examples(single)), reference)


@pytest.mark.parametrize("parts", [1, 2])
def test_batches_are_endless_with_static_shapes_and_begin_with_the_steps_epoch(
    prepared, service, parts
):
    config = PipelineConfig(4, 16, 0, 0, seed=5, start_step=6, parts=parts)
    epochs = Epochs.of(prepared, 16)
    assert epochs.images == 10 and epochs.first(config) == 2
    dataset = service_dataset(epochs, config, service, f"batches-{parts}")
    for spec in dataset.element_spec:
        assert spec.shape.as_list() == [4 // parts, 16, 16, 3] and spec.dtype == tf.float32
    assert dataset.options().experimental_distribute.auto_shard_policy.name == "OFF"
    wanted = collect(examples(prepared, first=2, count=30, config=config)).values()
    wanted = {clean.tobytes() for _, clean in wanted}
    for noisy, clean in dataset.take(12).as_numpy_iterator():
        np.testing.assert_array_equal(noisy, clean)  # σ is 0
        pixels = np.rint(clean * 255).astype(np.uint8)
        np.testing.assert_array_equal(clean, pixels.astype(np.float32) / np.float32(255))
        assert all(crop.tobytes() in wanted for crop in pixels)


@pytest.mark.parametrize(
    "address", ["localhost:5050", "http://a:5050", "grpc://a", "grpc://a:0", "grpc://a:70000", ""]
)
def test_a_malformed_address_is_refused(address):
    with pytest.raises(UserError, match=r"--data_service must be .*grpc://host:port"):
        check_flags(address, "shards")


def test_addresses_of_all_kinds_are_read():
    assert dispatcher_address("grpc://node-1.cluster:5050") == ("node-1.cluster", 5050)
    assert dispatcher_address("grpc://[::1]:5050") == ("::1", 5050)


def test_a_service_without_shards_or_tensorflow_is_refused(monkeypatch):
    check_flags(None, None)
    with pytest.raises(UserError, match="--data_service needs --prepared_dir"):
        check_flags("grpc://a:1", None)
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(UserError, match="runs on TensorFlow. Received: KERAS_BACKEND=jax"):
        require_tensorflow()


def test_a_dispatcher_that_is_not_there_is_said_within_the_timeout(prepared):
    with socket.create_server(("localhost", 0)) as free:
        address = f"grpc://localhost:{free.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(UserError, match=f"{address}: the dispatcher was not reached within 1 s"):
        check_service(address, prepared, 1)
    assert time.monotonic() - started < 20


def test_a_service_without_workers_is_said_within_the_timeout(prepared):
    # In a process of its own: TensorFlow's wait cannot be ended, and must not hold up the exit.
    code = f"""
import tensorflow as tf
from types import SimpleNamespace
from datasets.service_client import check_service
from gradnet_tf.errors import UserError
dispatcher = tf.data.experimental.service.DispatchServer()
try:
    check_service(dispatcher.target, SimpleNamespace(files=[{str(prepared.files[0])!r}]), 2)
except UserError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "no worker of the service answered within 2 s" in done.stdout


def test_a_worker_that_cannot_read_the_shards_is_said(prepared, service, tmp_path):
    check_service(service, prepared, 60)
    away = prepare(prepared, tmp_path, shards=1)
    away.files[0].rename(tmp_path / "away")
    with pytest.raises(UserError, match="cannot read .*shard-00000(.|\n)*under the same path"):
        check_service(service, away, 60)
    away.files[0].write_bytes(b"not a record at all")
    with pytest.raises(UserError, match="cannot read .*shard-00000(.|\n)*datasets.prepare"):
        check_service(service, away, 60)


def test_whether_a_service_is_used_belongs_to_the_run():
    from gradnet_tf.training.run import _FREE_FIELDS

    assert TrainConfig().data_service is None  # as in the records of earlier runs
    assert "data_service" not in _FREE_FIELDS


def run_service(capsys, *arguments):
    with loaded_script("datasets/service") as script, pytest.raises(SystemExit) as end:
        run_script(script.main, script.__doc__, ["service", *arguments])
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "`role` must be one of dispatcher, worker"),
        (["--role=chief"], "`role` must be one of dispatcher, worker"),
        (["--role=worker"], "--dispatcher must be the dispatcher's address"),
        (["--role=worker", "--dispatcher=localhost:5"], "grpc://host:port"),
        (["--role=dispatcher", "--dispatcher=grpc://a:5"], "does not belong to --role=dispatcher"),
        (["--role=dispatcher", "--port=70000"], "`port` must be in [0, 65535]"),
    ],
)
def test_mistakes_in_the_services_flags_are_explained(capsys, arguments, words):
    code, err = run_service(capsys, *arguments)
    assert code == 2 and words in err


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def service_processes():
    """Yields the address of a dispatcher with a worker, as a person starts them; ends both."""
    started = [start("-m", "datasets.service", "--role=dispatcher")]
    try:
        address = started[0].stdout.readline().split()[-1]
        started.append(start("-m", "datasets.service", "--role=worker", f"--dispatcher={address}"))
        assert "worker ready" in started[1].stdout.readline()
        yield address
        for server in started:  # The dispatcher first: its worker must end all the same.
            server.terminate()
            out, err = server.communicate(timeout=60)
            assert server.returncode == 0 and "stopped" in out and "Traceback" not in err
    finally:
        for server in started:
            server.kill()


RUN = ["--preset=gradnet_tiny", "--batch_size=4", "--crop_size=16", "--log_every=1"]
RUN += ["--steps=6", "--naive_steps=4"]


@pytest.mark.slow
def test_train_runs_through_a_dispatcher_and_a_worker_and_everything_ends(tmp_path):
    command = ["train.py", *RUN, "--strategy=mirrored", "--cpu_replicas=2"]
    command += [f"--workdir={tmp_path / 'run'}"]
    with service_processes() as address:
        train = start(*command, f"--prepared_dir={tmp_path}", f"--data_service={address}")
        _, err = train.communicate(timeout=200)
    assert train.returncode == 0 and "Traceback" not in err, err
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 6
    # Without the service the examples differ: that is another run.
    plain = start(*command)
    _, err = plain.communicate(timeout=200)
    assert plain.returncode == 2 and "data_service: True there, None now" in err


@pytest.mark.slow
def test_two_training_workers_share_a_job_and_the_preparation(tmp_path):
    with service_processes() as address:
        flags = [*RUN, f"--prepared_dir={tmp_path / 'shards'}", f"--data_service={address}"]
        for code, err in end(start_workers(2, tmp_path, flags)):
            assert code == 0, err
    rows = (tmp_path / "0/log.jsonl").read_text().splitlines()
    assert len(rows) == 6 and '"replicas": 2' in rows[0]
