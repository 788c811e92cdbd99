"""Distillation: what the targets are, what is kept, and runs that are stopped in between."""

import errno
import itertools
import shutil

import keras
import numpy as np
import pytest
from test_training_naive import run_training

from datasets.sets.catalog import find_dataset
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.images.image_files import write_image
from gradnet_tf.models import FFDNet
from gradnet_tf.models.base import build_model
from gradnet_tf.training import teacher as module
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.teacher import Teacher, taught_batches, teacher_of
from gradnet_tf.utils.backend import backend_name
from gradnet_tf.utils.errors import UserError

pytestmark = pytest.mark.skipif(backend_name() == "torch", reason="torch does not train here")

SIGMAS = np.array([20, 0, 20], np.float32)


def crops():
    """Three crops with σ = 20, 0 and 20."""
    generator = np.random.default_rng(5)
    clean = np.empty((3, 32, 32, 3), np.float32)
    clean[:] = np.linspace(0.3, 0.9, 32)[:, None]
    noise = generator.standard_normal(clean.shape).astype(np.float32)
    return clean + noise * (SIGMAS / 255)[:, None, None, None], clean


def test_the_target_is_a_share_of_the_mean_estimate_where_that_surpasses_the_reference():
    noisy, clean = crops()
    given = []

    def bright(images, sigmas):
        given.append(sigmas)
        return clean + 0.06 + 2 * (np.arange(3) == 2).reshape(3, 1, 1, 1)

    def dark(images, sigmas):
        return clean - 0.02

    def reference(images, sigmas):
        return images

    targets = Teacher([bright, dark], 0.75, reference).targets(noisy, clean)
    assert targets.dtype == np.float32
    np.testing.assert_allclose(given[0], [20, 0.1, 20], rtol=0.05)
    # Off by 0.02 in the mean. The second crop has no noise to surpass; in the third the estimate
    # is clipped to 1 before the mean, and too far off.
    np.testing.assert_allclose(targets[0], clean[0] + 0.75 * 0.02, atol=1e-6)
    np.testing.assert_array_equal(targets[1:], clean[1:])
    clipped = Teacher([bright], 1.0, lambda images, sigmas: 0 * images - 5).targets(noisy, clean)
    np.testing.assert_allclose(clipped[2], np.ones_like(clean[2]), atol=1e-6)


class Counting:
    """Lightens the noisy batch and counts how often."""

    def __init__(self):
        self.calls = 0

    def targets(self, noisy, clean):
        self.calls += 1
        return np.clip(noisy + 0.125, 0, 1)


@pytest.fixture
def counting(monkeypatch):
    teacher = Counting()
    monkeypatch.setattr(module, "teacher_of", lambda config: teacher)
    return teacher


def numbered(step):
    """Batches of one value each."""
    for number in itertools.count(step):
        batch = np.full((2, 1, 1, 3), number / 16, np.float32)
        yield batch, batch


def taught(tmp_path, start, count, crops):
    config = TrainConfig(batch_size=2, teacher="any", teacher_crops=crops)
    batches = taught_batches(config, numbered, start, tmp_path)
    return [
        (float(n[0, 0, 0, 0]), float(t[0, 0, 0, 0])) for n, t in itertools.islice(batches, count)
    ]


def test_without_a_number_of_crops_every_batch_is_new(tmp_path, counting):
    assert taught(tmp_path, 3, 2, None) == [(3 / 16, 5 / 16), (4 / 16, 6 / 16)]
    assert counting.calls == 2 and not any(tmp_path.iterdir())


def test_the_crops_come_again_and_their_targets_are_computed_once(tmp_path, counting):
    whole = taught(tmp_path, 0, 8, 6)
    assert [round(16 * noisy) for noisy, _ in whole] == [0, 1, 2, 0, 1, 2, 0, 1]
    np.testing.assert_allclose([t - n for n, t in whole], 0.125, atol=1e-5)
    assert counting.calls == 3 and len(list((tmp_path / "teacher").iterdir())) == 3
    # Resumed anywhere, the same; a file that was lost is made again.
    assert taught(tmp_path, 4, 4, 6) == whole[4:] and counting.calls == 3
    (lost,) = (tmp_path / "teacher").glob("000001-*.npy")
    lost.unlink()
    assert taught(tmp_path, 2, 4, 6) == whole[2:6] and counting.calls == 4
    shutil.rmtree(tmp_path / "teacher")
    assert taught(tmp_path, 5, 3, 6) == whole[5:] and counting.calls == 7


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"text"])
def test_a_damaged_file_of_targets_is_made_again(tmp_path, counting, damage):
    whole = taught(tmp_path, 0, 3, 6)
    (path,) = (tmp_path / "teacher").glob("000001-*.npy")
    path.write_bytes(damage)
    assert taught(tmp_path, 0, 3, 6) == whole and counting.calls == 4
    np.save(path, np.zeros((2, 1, 1, 1), np.uint16))  # of another shape
    assert taught(tmp_path, 0, 3, 6) == whole and counting.calls == 5


def test_targets_of_other_crops_are_not_used(tmp_path, counting, monkeypatch):
    """The photographs of a folder may have changed since."""
    taught(tmp_path, 0, 3, 6)
    monkeypatch.setitem(globals(), "numbered", lambda step, make=numbered: make(step + 5))
    again = taught(tmp_path, 0, 3, 6)
    np.testing.assert_allclose([t - n for n, t in again], 0.125, atol=1e-5)
    assert counting.calls == 6


def test_a_full_disk_costs_the_targets_and_not_the_run(tmp_path, counting, monkeypatch):
    whole = taught(tmp_path / "a", 0, 8, 6)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "require_free_space", full)
    assert taught(tmp_path / "b", 0, 8, 6) == whole
    assert counting.calls == 3 + 8 and not list((tmp_path / "b" / "teacher").iterdir())


@pytest.fixture
def smooth_images(tmp_path):
    ramp = np.broadcast_to(np.linspace(30, 220, 40)[:, None], (36, 40, 3))
    for number in range(2):
        write_image(tmp_path / "photos" / f"{number}.png", np.uint8(np.roll(ramp, 9 * number, 1)))
    return find_dataset("folder", tmp_path / "photos")


def train_on(images, workdir, **changes):
    fields = {"preset": "dncnn_tiny", "steps": 4, "batch_size": 2, "crop_size": 16, "seed": 1}
    fields |= {"validate_every": 2, "checkpoint_every": 1, "sigma_min": 25.0, "sigma_max": 25.0}
    config = TrainConfig(workdir=str(workdir), **{**fields, **changes})
    run_training(config, images)
    return load_denoiser(str(workdir), runtime="keras").model.get_weights()


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_taught_run_learns_something_else_and_resumes_bit_for_bit(smooth_images, tmp_path):
    known = {"teacher": "gradnet_tiny_color_blind", "teacher_crops": 4}
    plain = train_on(smooth_images, tmp_path / "plain")
    known["schedule"] = "constant"
    whole = train_on(smooth_images, tmp_path / "whole", **known)
    assert not same(plain, whole)
    assert not same(whole, train_on(smooth_images, tmp_path / "less", teacher_share=0.5, **known))
    train_on(smooth_images, tmp_path / "parts", **{**known, "steps": 3})
    shutil.rmtree(tmp_path / "parts" / "teacher")
    assert same(train_on(smooth_images, tmp_path / "parts", **known), whole)
    assert len(list((tmp_path / "whole" / "teacher").iterdir())) == 2


@pytest.mark.slow
def test_a_run_that_never_started_leaves_no_targets(smooth_images, tmp_path):
    known = {"teacher": "gradnet_tiny_color_blind", "teacher_crops": 4}
    train_on(smooth_images, tmp_path / "run", **known)
    for name in ("checkpoints", "best"):
        shutil.rmtree(tmp_path / "run" / name)
    expected = train_on(smooth_images, tmp_path / "other", seed=2, **known)
    assert same(train_on(smooth_images, tmp_path / "run", seed=2, **known), expected)


def test_the_naive_stage_has_no_teacher(smooth_images, tmp_path, counting):
    fields = {"preset": "gradnet_tiny", "naive_steps": 2, "steps": 2}
    train_on(smooth_images, tmp_path / "run", teacher="any", **fields)
    assert counting.calls == 2


def test_what_cannot_teach_is_refused_before_the_naive_stage(smooth_images, tmp_path):
    fields = {"preset": "gradnet_tiny", "naive_steps": 2, "teacher": "opencv_nlm"}
    with pytest.raises(UserError, match="--teacher=opencv_nlm cannot teach"):
        train_on(smooth_images, tmp_path / "run", **fields)
    assert not (tmp_path / "run" / "naive").exists()


def test_networks_that_need_the_level_get_it_and_the_start_is_the_reference(tmp_path):
    noisy, clean = crops()
    keras.utils.set_random_seed(3)
    # Close to the identity, since its last kernel is small.
    ffdnet = build_model(FFDNet(4, 8, predicts="noise"))
    network = str(tmp_path / "ffdnet.keras")
    ffdnet.save(network)
    config = TrainConfig(teacher=f"{network}, gradnet_tiny_color_blind", teacher_share=1.0)
    sigmas = np.maximum(np.std(noisy - clean, axis=(1, 2, 3)) * 255, 0.1)
    first = load_denoiser(network).denoise(noisy, sigmas)
    assert np.abs(first - load_denoiser(network).denoise(noisy, 3 * sigmas)).max() > 1e-3
    second = load_denoiser("gradnet_tiny_color_blind", runtime="keras").denoise(noisy)
    expected = (first + second) / 2
    better = np.mean((expected - clean) ** 2, (1, 2, 3)) < np.mean(
        (np.clip(noisy, 0, 1) - clean) ** 2, (1, 2, 3)
    )
    assert better[0] and not better[1]
    expected = np.where(better[:, None, None, None], expected, clean)
    np.testing.assert_allclose(teacher_of(config).targets(noisy, clean), expected, atol=1e-5)


def test_no_network_surpasses_itself_but_the_mean_of_its_quarter_turns_may():
    noisy, clean = crops()
    name = "gradnet_tiny_color_blind"
    own = {"teacher": name, "init_from": name, "teacher_share": 1.0}
    np.testing.assert_array_equal(teacher_of(TrainConfig(**own)).targets(noisy, clean), clean)
    run = load_denoiser(name, runtime="keras").runner.run
    turned = [np.rot90(run(np.rot90(noisy, k, (1, 2)).copy()), -k, (1, 2)) for k in range(4)]
    better = np.mean((np.mean(turned, 0) - clean) ** 2, (1, 2, 3)) < np.mean(
        (turned[0] - clean) ** 2, (1, 2, 3)
    )
    expected = np.where(better[:, None, None, None], np.mean(turned, 0), clean)
    assert better[0]
    targets = teacher_of(TrainConfig(teacher_turns=4, **own)).targets(noisy, clean)
    np.testing.assert_allclose(targets, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"teacher": "gradnet_small_gray_blind"}, "with channels=1"),
        ({"teacher": "opencv_nlm"}, "--teacher=opencv_nlm cannot teach this run"),
        ({"teacher": "no_such_file.pth"}, "no_such_file.pth"),
    ],
)
def test_networks_that_cannot_teach_are_refused(fields, words):
    with pytest.raises(UserError) as error:
        teacher_of(TrainConfig(**fields))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"teacher_crops": 8}, "`teacher_crops` must be absent without --teacher"),
        ({"teacher_share": 0.5}, "`teacher_share` must be absent without --teacher"),
        ({"teacher_turns": 4}, "`teacher_turns` must be absent without --teacher"),
        ({"teacher": "any", "teacher_turns": 2}, "`teacher_turns` must be 1, 4 or 8"),
        ({"teacher": "any", "teacher_share": 0.0}, "`teacher_share` must be in (0, 1]"),
        ({"teacher": "any", "batch_size": 4, "teacher_crops": 6}, "a multiple of batch_size=4"),
        ({"teacher": "any", "teacher_crops": 0}, "`teacher_crops` must be a multiple of"),
        ({"teacher": "any", "strategy": "mirrored"}, "`strategy` must be none with --teacher"),
        ({"teacher": "any", "sigma_min": 5.0, "sigma_max": 5.0, "naive": "opencv_nlm"}, "`naive`"),
        ({"teacher": "any", "data_service": True}, "`data_service` must be absent with --teacher"),
    ],
)
def test_contradictions_are_refused(fields, words):
    with pytest.raises(UserError) as error:
        TrainConfig(**fields)
    assert words in str(error.value)


def test_kept_targets_leave_room_for_checkpoints(tmp_path, counting, monkeypatch):
    wanted = []
    monkeypatch.setattr(module, "require_free_space", lambda *given: wanted.append(given[1]))
    config = TrainConfig(batch_size=2, teacher="any", teacher_crops=6)
    next(taught_batches(config, numbered, 0, tmp_path, 10**9))
    assert wanted == [10**9 + 2 * 3 * 2]  # Six numbers of two bytes.


def test_a_teacher_s_nan_is_no_part_of_the_target():
    noisy, clean = crops()

    def broken(images, sigmas):
        return np.where(images > 0.8, np.nan, images)

    targets = Teacher([broken], 0.75, lambda images, sigmas: images).targets(noisy, clean)
    np.testing.assert_array_equal(targets, clean)
