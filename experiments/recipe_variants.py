"""The training recipes that the recipe study compares: one change at a time from a baseline."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gradnet_tf.training.config import TrainConfig, require

EQUAL_STEPS, EQUAL_TIME = "equal steps", "equal time"
BASELINE = "muon 2e-3"
#: Step times that differ by less count as equal, because other work on the machine blurs the
#: measurement: no run at equal time is made.
SAME_COST = 0.05
# Fields that change the training data or the learning rate, but not the cost of a step.
_FREE_FIELDS = frozenset(
    "learning_rate schedule weight_decay scales crop_candidates color_jitter frame_share".split()
)
_SCALES = (1.0, 0.7, 0.5, 0.35)


@dataclasses.dataclass(frozen=True)
class Variant:
    """One recipe.

    Attributes:
        name: name in the table and for --variants.
        group: name of the question that the variant answers; --variants takes it too.
        train: fields of `TrainConfig` that differ from the form's.
        train_set: the training set.
        network: arguments of the form's preset that differ from it.
        naive: arguments of its naive denoiser that differ.
        biases: whether the network learns biases; if not, they stay at zero.
        branches: whether its inner convolutions train as `experiments.recipe_runs.BranchedConv`.
        teacher: whether a published DnCNN is the teacher; see `TrainConfig`.
    """

    name: str
    group: str
    train: Mapping = dataclasses.field(default_factory=dict)
    train_set: str = "bsds500"
    network: Mapping = dataclasses.field(default_factory=dict)
    naive: Mapping = dataclasses.field(default_factory=dict)
    biases: bool = True
    branches: bool = False
    teacher: bool = False

    @property
    def cost(self) -> str:
        """The changes that may affect the time of a step; "" for none."""
        fields = sorted(set(self.train) - _FREE_FIELDS)
        changes = [f"{name}={self.train[name]}" for name in fields]
        changes += [f"{name}={self.network[name]}" for name in sorted(self.network)]
        changes += [f"naive {name}={self.naive[name]}" for name in sorted(self.naive)]
        changes += ["no biases"] * (not self.biases) + ["branches"] * self.branches
        changes += ["teacher"] * self.teacher
        return ", ".join(changes)


def _photos(name: str, **train) -> Variant:
    return Variant(name, "data", MappingProxyType(train), "free_photos_cc_by")


def _changed(name: str, group: str, **train) -> Variant:
    return Variant(name, group, MappingProxyType(train))


def _shaped(name: str, naive: Mapping | None = None, **network) -> Variant:
    naive = MappingProxyType(naive or {})
    return Variant(name, "shape", network=MappingProxyType(network), naive=naive)


VARIANTS = (
    Variant(BASELINE, "optimizer"),
    _changed("muon 1e-3", "optimizer", learning_rate=1e-3),
    _changed("muon 4e-3", "optimizer", learning_rate=4e-3),
    _changed("adam 4e-3", "optimizer", optimizer="adam", learning_rate=4e-3),
    _changed("adam 2e-3", "optimizer", optimizer="adam", learning_rate=2e-3),
    _changed("adam 1e-3", "optimizer", optimizer="adam", learning_rate=1e-3),
    _changed("batch 4", "batch", batch_size=4),
    _changed("batch 16", "batch", batch_size=16),
    # The pixels per step of 8 crops of 80×80, within 2%.
    _changed("22 crops of 48×48", "batch", batch_size=22, crop_size=48),
    _changed("4 crops of 112×112", "batch", batch_size=4, crop_size=112),
    _changed("L2 for the last tenth", "objective", l2_share=0.1),
    _changed("EMA 0.999", "objective", ema=0.999),
    _changed("EMA 0.999, constant rate", "objective", ema=0.999, schedule="constant"),
    # Its targets are computed once, for a quarter of the crops, and come again in the same noise.
    Variant("DnCNN as teacher", "objective", {"teacher_crops": 1000}, teacher=True),
    _changed("weight decay 0.3", "weight decay", weight_decay=0.3),
    _changed("weight decay 1", "weight decay", weight_decay=1.0),
    Variant("no biases", "network", biases=False),
    Variant("parallel branches", "network", branches=True),
    # The arithmetic of the baseline, within 5%: 32 channels in 2 modules of 1 ResUnit, on blocks of
    # 2×2 pixels; ψ with 4 layers of 16 channels, 9% of it.
    _shaped("3 units of 23 channels", width=23, num_units=3),
    _shaped("4 modules of 23 channels", width=23, num_modules=4),
    _shaped("1 module of 44 channels", width=44, num_modules=1),
    _shaped("1 module, 2 units of 37 channels", width=37, num_modules=1, num_units=2),
    _shaped("pixels, 16 channels", width=16, scale=1),
    _shaped("ψ with 24% of it", {"num_layers": 5, "filters": 24}, width=29),
    _shaped("ψ with 3% of it", {"num_layers": 3, "filters": 8}, width=33),
    Variant("free photos", "data", train_set="free_photos"),
    _photos("CC-BY photos"),
    _photos("CC-BY photos, four scales", scales=_SCALES),
    _photos("CC-BY photos, textured crops", crop_candidates=3),
    _photos("CC-BY photos, color jitter", color_jitter=0.2),
    _photos("CC-BY photos, all three", scales=_SCALES, crop_candidates=3, color_jitter=0.2),
)


@dataclasses.dataclass(frozen=True)
class RecipeForm:
    """What all runs of the study have in common.

    Attributes:
        name: "short".
        preset: the network.
        steps: optimizer steps of the baseline, and of all runs at equal steps.
        train: fields of `TrainConfig` of the baseline.
        test_sets: (name, split or `None`, number of images or `None`) of each test set.
        sigmas: noise levels of the scores, 0-255 scale.
        test_crop: side of the center crop of a test image that is scored; 0 for the whole image.
    """

    name: str
    preset: str
    steps: int
    train: Mapping
    test_sets: Sequence[tuple[str, str | None, int | None]]
    sigmas: Sequence[float]
    test_crop: int

    def train_config(
        self, variant: Variant, steps: int, seed: int, teacher: str | None = None
    ) -> TrainConfig:
        """Returns the configuration of one run; `teacher` is the file for variants with one."""
        return TrainConfig(
            **{
                "preset": self.preset,
                "dataset": variant.train_set,
                "steps": steps,
                "seed": seed,
                "validate_every": steps,  # the last weights are scored
                "teacher": teacher if variant.teacher else None,
                **self.train,
                **variant.train,
            }
        )


FORMS = {
    "short": RecipeForm(
        "short",
        "gradnet_tiny",
        steps=1200,
        train=MappingProxyType(
            {
                "sigma_min": 0.0,
                "sigma_max": 55.0,
                "joint": True,
                "naive_steps": 0,
                "precision": "mixed_bfloat16",
                "optimizer": "muon",
                "learning_rate": 2e-3,
                "schedule": "cosine",
                "warmup_steps": 50,
                "batch_size": 8,
                "crop_size": 80,
            }
        ),
        test_sets=(("cbsd68", None, 24), ("free_photos", "validation", None)),
        sigmas=(15.0, 25.0, 50.0),
        test_crop=256,
    )
}


def chosen_variants(names: Sequence[str], with_teacher: bool) -> list[Variant]:
    """Returns the variants with a given name or group, the baseline always first.

    Args:
        names: of variants or groups; empty for all.
        with_teacher: whether there are weights to distill from.

    Raises:
        UserError: for an unknown name, or distillation by name without a teacher.
    """
    known = list(dict.fromkeys([v.group for v in VARIANTS] + [v.name for v in VARIANTS]))
    for name in names:
        require(name in known, "variants", name, f"one of {'; '.join(known)}")
        asked = [v for v in VARIANTS if v.name == name and v.teacher]
        require(with_teacher or not asked, "variants", name, "given together with --peers")
    return [
        variant
        for variant in VARIANTS
        if (not names or variant.name == BASELINE or {variant.name, variant.group} & set(names))
        and (with_teacher or not variant.teacher)
    ]
