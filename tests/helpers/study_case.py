"""A study at the smallest size."""

import dataclasses

from experiments.study_command import Options
from experiments.study_runs import Form

TINY = Form(
    "short",
    {"num_layers": 3, "filters": 4},
    batch_size=2,
    crop_size=12,
    steps=2,
    epochs=0,
    test_crop=16,
)
TINY_GRADNET = dataclasses.replace(
    TINY,
    network={
        "width": 16,
        "num_modules": 1,
        "num_units": 1,
        "scale": 2,
        "naive_layers": 2,
        "naive_filters": 4,
    },
)


def options(scenes, tmp_path, **more):
    values = {
        "data_dir": str(scenes),
        "output": str(tmp_path / "study"),
        "form": "short",
        "seeds": 1,
        "sets": ("renoir",),
    }
    return Options(**{**values, **more})


def study(module, form, keep=None):
    """The module's study at another size, with the configurations in `keep` alone."""

    def tasks(asked, size):
        return [
            task
            for task in module.tasks(asked, size)
            if keep is None or (task.job.variant, task.job.gradient) in keep
        ]

    return dataclasses.replace(module.STUDY, forms={"short": form}, tasks=tasks)
