"""The configuration of training as a frozen dataclass, from which train.py's flags are made."""

import dataclasses
import functools
import re

from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.models.classical import classical_name
from gradnet_tf.models.presets import PAPER_RECIPE, PRECISIONS, PRESETS, Recipe, get_preset
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import option

STRATEGIES = ("none", "mirrored", "multiworker")
SCHEDULES = ("cosine", "step", "plateau", "constant")
OPTIMIZERS = ("adam", "muon")
RECIPES = ("preset", "paper")
#: Fraction of the steps after which the schedule "step" falls: epoch 30 of 50 in the supplement.
DECAY_AT = 0.6
# Epochs after which the authors' script lowers the rate first, and then waits for.
_AUTHORS_DECAY_EPOCH = 20
DEFAULT_SIGMA = 25.0
# Peak rates for an optimizer other than that of the preset's recipe.
LEARNING_RATES = {"adam": 1.5e-3, "muon": 2e-3}


def require(condition: bool, name: str, value, expected: str) -> None:
    """Raises a `UserError` with the standard message unless `condition` holds."""
    if not condition:
        raise UserError(f"`{name}` must be {expected}. Received: {name}={value!r}")


def require_sigma(name: str, value: float) -> None:
    """Checks a noise level on the 0-255 scale."""
    require(0 <= value <= 255, name, value, "in [0, 255]")


def sigma_range(
    sigma: float | None,
    sigma_min: float | None,
    sigma_max: float | None,
    degradation: str | None = None,
) -> dict:
    """Returns the fields `sigma_min` and `sigma_max`: a range if one is given, else one level.

    By default they are 25, or the range of the degradation.

    Raises:
        UserError: for half a range, a level outside [0, 255], or a level together with a
            degradation.
    """
    if degradation:
        for name, value in (("sigma", sigma), ("sigma_min", sigma_min), ("sigma_max", sigma_max)):
            if value is not None:
                raise UserError(
                    f"--{name} and --degradation exclude each other. Received: "
                    f"--{name}={value:g} --degradation={degradation}\n"
                    "Use one of them; --sigma=25 is --degradation='gaussian(25)'."
                )
        return {}
    if sigma is not None and (sigma_min, sigma_max) != (None, None):
        raise UserError(
            "--sigma excludes --sigma_min and --sigma_max. "
            f"Received: sigma={sigma:g}, sigma_min={sigma_min}, sigma_max={sigma_max}\n"
            "Give one level, or a range."
        )
    sigma = DEFAULT_SIGMA if sigma is None else sigma
    if (sigma_min is None) != (sigma_max is None):
        raise UserError(
            "`sigma_min` and `sigma_max` must be given together. "
            f"Received: sigma_min={sigma_min}, sigma_max={sigma_max}"
        )
    if sigma_min is None:
        require_sigma("sigma", sigma)
        sigma_min = sigma_max = sigma
    return {"sigma_min": sigma_min, "sigma_max": sigma_max}


def parse_duration(name: str, text: str | None) -> float | None:
    """Parses "90s", "12m" or "1.5h".

    Returns:
        Seconds, or `None` for `None` or an empty text.

    Raises:
        UserError: for anything else.
    """
    if not text:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    require(match is not None, name, text, 'a duration with its unit, such as "90s", "12m", "1.5h"')
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]
    require(seconds > 0, name, text, "longer than zero")
    return seconds


def steps_per_epoch(crops: int, batch_size: int) -> int:
    """Returns the whole batches that so many crops fill; an incomplete last one is left out.

    Every epoch then has the same number of steps, so that a schedule changes exactly between two.

    Args:
        crops: of an epoch, those of all images.
        batch_size: crops in a step.
    """
    return max(1, crops // batch_size)


@dataclasses.dataclass(frozen=True)
class NoiseLevel:
    """One noise level, instead of a `TrainConfig`'s range.

    Attributes:
        sigma: noise level, standard deviation on the 0-255 scale (default: 25).
    """

    sigma: float | None = None


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The configuration of a training run.

    Every field except `data_service` and `real_noise` is a flag of train.py, with its text here as
    the help.
    A field of the preset's recipe that is `None` gets the recipe's value. `sigma_min` and
    `sigma_max` are `DEFAULT_SIGMA` if neither they nor a degradation are given; a degradation
    sets them to its own range, or to `None` if it is not only white Gaussian noise.

    Attributes:
        preset: network to train.
        recipe: source of the defaults below: the preset's own recipe, or the paper's (50 epochs of
            batches of 48, 1e-3, then 2e-4 after epoch 30, no clipping); see docs/paper.md.
        dataset: training set by name, or several as a,b or a:2,b:1.
        channels: 3 for RGB, 1 for gray.
        sigma_min: lowest noise level of a blind denoiser; needs --sigma_max.
        sigma_max: highest noise level of a blind denoiser; needs --sigma_min.
        degradation: other noise instead of Gaussian noise of one level or range, such as
            'camera|jpeg(60)'; see docs/degradations.md.
        allow_test_images: train on images of test sets too; the run's config.json records it.
        strategy: one device, all local devices (mirrored), or those of all machines of a
            cluster (multiworker).
        cpu_replicas: number of logical devices to split the CPU into, to test --strategy=mirrored
            on a machine without GPUs.
        worker_timeout: seconds after which an unresponsive worker of a cluster counts as lost.
        precision: dtype policy of the layers.
        batch_size: images per step over all replicas (default: the preset's).
        crop_size: side of the training crops in pixels (default: the preset's).
        steps: optimizer steps of the main stage (default: the preset's).
        epochs: length of the main stage, and of the naive denoiser's unless --naive_steps is given,
            in epochs instead of steps; an epoch is --crops_per_image crops of every training
            image, in whole batches.
        crops_per_image: random crops of each training image in an epoch; 4 in the authors' script.
        decay_epoch: epoch after which --schedule=step and plateau fall to a fifth (default: 60% of
            them; for plateau 20, or all of fewer).
        naive_steps: optimizer steps of the naive denoiser's own stage; 0 skips it, for joint
            training (default: the preset's, or 0 with --init_from, whose weights include a
            naive denoiser).
        naive_share: fraction of --time_budget for the naive denoiser's stage (default: the
            preset's).
        naive: trained naive denoiser to use instead of training one; anything that
            evaluate.py's --model takes.
        joint: train the naive denoiser together with the main branch; its own L1 loss is added to
            the loss (default: the preset's).
        gradient_loss_weight: weight λ of the gradient consistency loss.
        l2_share: final fraction of each stage, 0 to 1, in which the root mean square replaces L1 in
            the loss, for a higher PSNR; the gradient term does not change.
        optimizer: adam, or muon for convolutions, see docs/training.md (default: the preset's).
        learning_rate: peak of the learning rate's schedule (default: the preset's).
        schedule: learning rate over time: cosine falls to zero, step falls to a fifth after 60%
            of the steps, plateau, the authors', after --decay_epoch and then whenever as many
            epochs bring no better validation, constant falls to zero over the last tenth
            (default: the preset's).
        warmup_steps: steps over which the learning rate grows linearly from zero (default: the
            recipe's).
        clip_norm: bound on the global norm of the loss gradients; 0 for none (default: the
            recipe's).
        weight_decay: each step also scales every kernel by 1 - learning rate * weight_decay,
            apart from the optimizer's own step, so that long trainings do not let kernels grow;
            0 for none.
        wake: let the bias of a hidden channel that fires nowhere in a batch rise until it fires; it
            gets no gradient otherwise, and stays silent to the end.
        accumulate: number of sequential parts in which a batch is processed, for batches that do
            not fit into memory; results differ only by rounding, but batch normalization has the
            statistics of each part.
        ema: decay of the moving average of the weights, such as 0.999; the averages are
            validated and saved as best weights. 0 for none.
        nan_limit: the run stops after more consecutive steps than this whose loss or gradient is
            not finite; such steps are skipped.
        time_budget: time for both stages over all invocations, such as 90s, 12m or 1.5h; the same
            command with more of it continues the run.
        workdir: folder of the run; an interrupted run resumes from it.
        seed: determines the initial values and every training example.
        log_every: steps between rows of log.jsonl.
        checkpoint_every: steps between checkpoints.
        validate_every: steps between validations; each may update the best weights.
        workers: threads of the input pipeline; their number does not affect the examples.
        init_from: trained weights of the same preset to start from, or of a narrower one
            (gradnet_small's for gradnet_medium and gradnet_small_level); anything that
            evaluate.py's --model takes.
        teacher: trained denoisers, separated by commas, whose mean estimate of each noisy crop
            becomes a part of its target in the main stage, where it surpasses the weights of
            --init_from; published weights too, anything that evaluate.py's --model takes.
        teacher_share: share of the teachers' estimate in the target; the rest is the clean crop.
        teacher_turns: each teacher's estimate is the mean over so many orientations of the crop,
            which makes it better, even the network's own: 1, 4 quarter turns, or 8 with flips.
        teacher_crops: number of crops, in the same noise each time, that are shown again and again,
            so that the teachers run only once for each; by default all crops are new.
        data_service: true if a tf.data service makes the examples, which differ from those made
            locally; its address may change within a run. `None` means no.
        real_noise: true if all training images have real noise, for which σ has no meaning: both
            levels are then `None`.
        scales: relative sizes at which every image is used. Large photographs are smooth at the
            level of pixels; downscaled copies have the texture of ordinary pictures.
        crop_candidates: number of random crops from which the most textured is chosen.
        color_jitter: fraction of the crops, 0 to 1, whose channels are permuted and whose
            saturation and brightness by channel are changed.
        frame_share: fraction of the crops, 0 to 1, with a flat frame without noise around a part of
            them, like a letterbox or a passe-partout.
    """

    preset: str = option("gradnet_small", names=tuple(PRESETS))
    recipe: str = option("preset", choices=RECIPES)
    dataset: str = "sample"
    channels: int = 3
    sigma_min: float | None = None
    sigma_max: float | None = None
    degradation: str | None = None
    allow_test_images: bool = False
    strategy: str = option("none", choices=STRATEGIES)
    cpu_replicas: int = 1
    worker_timeout: float = 300.0
    precision: str = option("float32", choices=PRECISIONS)
    batch_size: int | None = None
    crop_size: int | None = None
    steps: int | None = None
    epochs: int | None = None
    crops_per_image: int = 4
    decay_epoch: int | None = None
    naive_steps: int | None = None
    naive_share: float | None = None
    naive: str | None = None
    joint: bool | None = None
    gradient_loss_weight: float = 0.1
    l2_share: float = 0.0
    optimizer: str | None = option(None, choices=OPTIMIZERS)
    learning_rate: float | None = None
    schedule: str | None = option(None, choices=SCHEDULES)
    warmup_steps: int | None = None
    clip_norm: float | None = None
    weight_decay: float = 0.0
    wake: bool = False
    accumulate: int = 1
    ema: float = 0.0
    nan_limit: int = 10
    time_budget: float | None = option(None, parse=functools.partial(parse_duration, "time_budget"))
    workdir: str = "runs/train"
    seed: int = 0
    log_every: int = 50
    checkpoint_every: int = 500
    validate_every: int = 1000
    workers: int = 2
    init_from: str | None = None
    teacher: str | None = None
    teacher_share: float = 0.75
    teacher_turns: int = 1
    teacher_crops: int | None = None
    data_service: bool | None = option(None, no_flag="set when the flag of that name is given")
    real_noise: bool | None = option(None, no_flag="follows from the training set")
    scales: tuple[float, ...] = (1.0,)
    crop_candidates: int = 1
    color_jitter: float = 0.0
    frame_share: float = 0.0

    def __post_init__(self):
        if self.degradation:
            self._take_degradation()
        elif self.real_noise:
            object.__setattr__(self, "sigma_min", None)
            object.__setattr__(self, "sigma_max", None)
        else:
            self._check_sigmas()
        recipe = self._recipe()
        if self.learning_rate is None and self.optimizer not in (None, recipe.optimizer):
            # The recipe's rate is for its own optimizer.
            object.__setattr__(self, "learning_rate", LEARNING_RATES.get(self.optimizer))
        self._take_scales()
        if self.init_from and self.naive_steps is None:
            # The weights include a naive denoiser and would overwrite the result of its stage.
            object.__setattr__(self, "naive_steps", 0)
        if self.steps is not None and self.epochs is None:
            # By epochs, both stages are equally long.
            naive_steps = self.steps if recipe.epochs else recipe.naive_steps
            recipe = dataclasses.replace(recipe, epochs=None, naive_steps=naive_steps)
        by_epochs = self.epochs is not None or recipe.epochs is not None
        for field in dataclasses.fields(recipe):
            if by_epochs and field.name in ("steps", "naive_steps"):
                continue  # known with the number of images, see `for_images`
            # Defaults are resolved here, so that config.json is complete.
            if getattr(self, field.name) is None:
                object.__setattr__(self, field.name, getattr(recipe, field.name))
        require(self.channels in (1, 3), "channels", self.channels, "1 (gray) or 3 (RGB)")
        for field in dataclasses.fields(self):
            if choices := field.metadata.get("choices"):
                value = getattr(self, field.name)
                require(value in choices, field.name, value, f"one of {', '.join(choices)}")
        counts = "batch_size crop_size steps log_every checkpoint_every validate_every workers"
        more = "cpu_replicas accumulate crop_candidates epochs crops_per_image decay_epoch".split()
        for name in [*counts.split(), *more]:
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "at least 1")
        if self.decay_epoch is not None:
            most = self.epochs or 0
            fits = self.decay_epoch <= most
            require(fits, "decay_epoch", self.decay_epoch, f"at most epochs={most or None}")
            steps_down = self.schedule in ("step", "plateau")
            absent = f"absent with schedule={self.schedule}"
            require(steps_down, "decay_epoch", self.decay_epoch, absent)
        elif self.schedule == "plateau":
            known = self.epochs is not None
            require(known, "schedule", "plateau", "cosine, step or constant without --epochs")
            object.__setattr__(self, "decay_epoch", min(_AUTHORS_DECAY_EPOCH, self.epochs))
        single = self.cpu_replicas == 1 or self.strategy != "multiworker"
        require(single, "cpu_replicas", self.cpu_replicas, '1 with strategy="multiworker"')
        even = self.batch_size % self.accumulate == 0
        require(even, "accumulate", self.accumulate, f"a divisor of batch_size={self.batch_size}")
        at_least_0 = "naive_steps warmup_steps clip_norm weight_decay gradient_loss_weight seed"
        for name in f"{at_least_0} nan_limit".split():
            value = getattr(self, name)
            require(value is None or value >= 0, name, value, "at least 0")
        for name in "learning_rate worker_timeout".split():
            require(getattr(self, name) > 0, name, getattr(self, name), "greater than 0")
        require(0 <= self.ema < 1, "ema", self.ema, "in [0, 1)")
        for name in ("color_jitter", "frame_share", "l2_share"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        share = self.naive_share
        require(0 < share < 1, "naive_share", share, "in (0, 1); --naive_steps=0 leaves it out")
        require(self.seed < 2**32, "seed", self.seed, "less than 2**32")
        by_time = self.schedule == "plateau" and self.time_budget
        require(not by_time, "time_budget", self.time_budget, "absent with schedule=plateau")
        own_loss = get_preset(self.preset).architecture == "CBDNet"
        require(not (self.l2_share and own_loss), "l2_share", self.l2_share, "0 for this preset")
        self._check_teacher()
        has_naive = get_preset(self.preset).naive is not None
        require(has_naive or not self.naive, "naive", self.naive, "absent for this preset")
        require(has_naive or not self.joint, "joint", self.joint, "absent for this preset")
        # Refused instead of ignored; the preset's value looks like an absent flag.
        for name, ignorable in (
            ("naive_steps", (0, None, recipe.naive_steps)),
            ("naive_share", (recipe.naive_share,)),
        ):
            valid = not self.naive or getattr(self, name) in ignorable
            require(
                valid, name, getattr(self, name), "absent with --naive, which replaces the stage"
            )
        # A naive denoiser with frozen initial values would return the noisy image.
        own_stage = self.naive_steps or self.naive_steps is None
        learns = not has_naive or own_stage or self.joint or self.naive or self.init_from
        require(
            bool(learns), "naive_steps", 0, "at least 1 without --joint, --naive or --init_from"
        )

    def _recipe(self) -> Recipe:
        require(self.recipe in RECIPES, "recipe", self.recipe, f"one of {', '.join(RECIPES)}")
        return PAPER_RECIPE if self.recipe == "paper" else get_preset(self.preset).recipe

    def for_images(self, count: int) -> "TrainConfig":
        """Returns the configuration with the steps that its epochs take.

        Args:
            count: number of training images.
        """
        if self.epochs is None:
            return self
        steps = self.epochs * steps_per_epoch(count * self.crops_per_image, self.batch_size)
        naive_steps = self.naive_steps
        if naive_steps is None:
            own = get_preset(self.preset).naive and not self.naive
            naive_steps = steps if own else self._recipe().naive_steps
        return dataclasses.replace(self, steps=steps, naive_steps=naive_steps)

    @property
    def decay_at(self) -> float:
        """Fraction of the steps after which the schedules "step" and "plateau" fall."""
        return self.decay_epoch / self.epochs if self.decay_epoch else DECAY_AT

    def _take_degradation(self) -> None:
        degradation = parse_degradation(self.degradation)
        # A canonical spelling, so that equal noise compares equal.
        object.__setattr__(self, "degradation", str(degradation))
        low, high = degradation.sigma_range or (None, None)
        object.__setattr__(self, "sigma_min", low)
        object.__setattr__(self, "sigma_max", high)

    def _take_scales(self) -> None:
        try:
            scales = tuple(float(scale) for scale in self.scales)
        except (TypeError, ValueError):  # a single number, or text from the command line
            scales = ()
        fit = scales and all(0 < scale <= 1 for scale in scales) and len({*scales}) == len(scales)
        require(bool(fit), "scales", self.scales, "one or more different numbers in (0, 1]")
        object.__setattr__(self, "scales", scales)

    def _check_sigmas(self) -> None:
        for name, value in sigma_range(None, self.sigma_min, self.sigma_max).items():
            object.__setattr__(self, name, value)
        low, high = self.sigma_min, self.sigma_max
        require_sigma("sigma_min", low)
        require_sigma("sigma_max", high)
        require(low <= high, "sigma_min", low, f"at most sigma_max={high}")

    def _check_teacher(self) -> None:
        require(0 < self.teacher_share <= 1, "teacher_share", self.teacher_share, "in (0, 1]")
        require(self.teacher_turns in (1, 4, 8), "teacher_turns", self.teacher_turns, "1, 4 or 8")
        crops = self.teacher_crops
        if self.teacher is None:
            for name in ("teacher_crops", "teacher_share", "teacher_turns"):
                value = getattr(self, name)  # refused instead of ignored
                require(value == getattr(type(self), name), name, value, "absent without --teacher")
            return
        valid = crops is None or (crops > 0 and crops % self.batch_size == 0)
        require(valid, "teacher_crops", crops, f"a multiple of batch_size={self.batch_size}")
        single = self.strategy == "none"
        require(single, "strategy", self.strategy, "none with --teacher")
        require(not self.estimator, "naive", self.naive, "a network or absent with --teacher")
        preset = get_preset(self.preset)
        # It would be told, or learn, how far the noisy crop is from the teachers' estimate.
        blind = not preset.needs_sigma and preset.architecture != "CBDNet"
        require(blind, "teacher", self.teacher, "absent for a preset that knows the noise level")
        service = self.data_service
        require(not service, "data_service", service, "absent with --teacher")

    @property
    def estimator(self) -> str | None:
        """Name of the classical denoiser that makes the naive estimates, or `None`."""
        return classical_name(self.naive)

    def to_dict(self) -> dict:
        """Returns the fields as plain values for config.json."""
        return dataclasses.asdict(self)


def epoch_text(config: TrainConfig, count: int) -> str:
    """Returns what an epoch is in a run on `count` images, for its first line."""
    steps = steps_per_epoch(count * config.crops_per_image, config.batch_size)
    return (
        f"an epoch is {steps} steps of {config.batch_size} crops: {config.crops_per_image} of each "
        f"of {count} images; {config.epochs} epochs are {config.steps} steps"
    )
