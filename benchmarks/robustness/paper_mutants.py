r"""The faults that the paper's experiments once had, put back one at a time; see `mutants`.

Example:
  python -m benchmarks.robustness.paper_mutants             # all, ten to twenty seconds for each
  python -m benchmarks.robustness.paper_mutants TFDS split  # those with such a word in their name
"""

import sys

from benchmarks.robustness.mutants import Mutant, main

FORM = "test_experiments_paper_form.py::"
NUMBERS = "test_experiments_full_form.py::test_the_supplements_numbers"
EPOCHS = "test_training_epochs.py::"
RECIPE = EPOCHS + "test_the_papers_recipe"
RATE = EPOCHS + "test_the_rate_falls_exactly_between_two_epochs"
LEVEL = EPOCHS + "test_real_noise_has_no_level"
AUTHORS = "test_models_authors.py::"
TFDS = "test_datasets_tfds.py::"
APART = "test_datasets_splits_apart.py::test_no_two_splits_share_a_picture"
PAPER = "test_docs_paper.py::"
STUDY, RUNS = "experiments/study_command.py", "experiments/study_runs.py"
CONFIG, PRESETS = "training/config.py", "models/presets.py"
RECIPE_LINE = "batch_size=48, crop_size=80, epochs=50, warmup_steps=0, clip_norm=0.0"


def _recipe(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, PRESETS, RECIPE_LINE, RECIPE_LINE.replace(old, new), RECIPE)


MUTANTS = (
    # Figure 1.
    Mutant(
        "the paper's form trains on BSDS500",
        RUNS,
        '"train_set": "nyuv2",',
        '"train_set": "bsds500",',
        NUMBERS,
    ),
    Mutant(
        "the paper's form has RENOIR instead of SIDD",
        RUNS,
        '"sets": ("nyuv2", "sidd"),',
        '"sets": ("nyuv2", "renoir"),',
        NUMBERS,
    ),
    Mutant(
        "results of BSDS500 and RENOIR pass for the paper's",
        "docs/results.md",
        "The paper trains on NYUv2 and SIDD instead: ",
        "The supplement's form: ",
        PAPER + "test_what_other_sets_gave_is_not_called_the_papers",
    ),
    Mutant(
        "real noise is a list of names",
        STUDY,
        "if get_info(name).has_real_noise]",
        'if name == "renoir"]',
        FORM + "test_real_noise_is_what_the_protocol_of_a_set_says",
    ),
    Mutant(
        "real noise is scored after training on added noise",
        STUDY,
        "name = noise if noise in real else options.train_set",
        "name = options.train_set",
        FORM + "test_sidd_is_trained_and_scored_under_its_own_noise",
    ),
    Mutant(
        "real noise without a training split is accepted",
        STUDY,
        "if get_info(name).training_split is None:",
        "if False:",
        FORM + "test_real_noise_without_a_training_split_is_refused",
    ),
    Mutant(
        "a level is added to noisy photographs in training",
        STUDY,
        "and get_info(options.train_set).has_real_noise:",
        "and False:",
        FORM + "test_noise_is_not_added_to_noisy_photographs",
    ),
    Mutant(
        "real noise is scored under a σ",
        "gradnet_tf/evaluation/evaluate_set.py",
        "    if (image_set.noisy(0) is not None) == (sigma is None):\n        return",
        "    return",
        FORM + "test_a_set_with_noisy_images_is_never_scored_under_a_level",
    ),
    Mutant(
        "a column of real noise carries a σ",
        "study_statistics.py",
        'return f"σ = {noise}" if noise.replace(".", "", 1).isdigit() else "real noise"',
        'return f"σ = {noise}"',
        FORM + "test_a_set_with_noisy_images_is_never_scored_under_a_level",
    ),
    Mutant(
        "a mislabeled result of an earlier version goes into the table",
        STUDY,
        "if Results.job(row).sigma is not None and info and info.has_real_noise:",
        "if False:",
        FORM + "test_mislabeled_results_of_an_earlier_version_are_refused",
    ),
    # The paper's schedule.
    Mutant(
        "the paper's recipe is that of the preset, 300,000 steps",
        CONFIG,
        'return PAPER_RECIPE if self.recipe == "paper" else get_preset(self.preset).recipe',
        "return get_preset(self.preset).recipe",
        RECIPE,
    ),
    _recipe("the paper's recipe has batches of 64", "48", "64"),
    _recipe("the paper's recipe has crops of 64", "80", "64"),
    _recipe("the paper's recipe has 40 epochs", "50", "40"),
    _recipe("the paper's recipe clips gradients at 1.0", "0.0", "1.0"),
    _recipe("the paper's recipe warms up", "steps=0", "steps=100"),
    Mutant(
        "the fusion study clips gradients at 1.0",
        RUNS,
        'for name in ("warmup_steps", "clip_norm")}',
        'for name in ("warmup_steps",)}',
        NUMBERS,
    ),
    Mutant(
        "the recipe's epoch is one crop an image",
        CONFIG,
        "crops_per_image: int = 4",
        "crops_per_image: int = 1",
        RECIPE,
    ),
    Mutant(
        "--epochs does not count --crops_per_image",
        CONFIG,
        "self.epochs * steps_per_epoch(count * self.crops_per_image, self.batch_size)",
        "self.epochs * steps_per_epoch(count, self.batch_size)",
        EPOCHS + "test_an_epoch_is_so_many_crops_of_every_image_in_whole_batches",
    ),
    Mutant(
        "an epoch counts its incomplete batch",
        CONFIG,
        "return max(1, crops // batch_size)",
        "return max(1, -(-crops // batch_size))",
        EPOCHS + "test_an_epoch_is_so_many_crops_of_every_image_in_whole_batches",
    ),
    Mutant(
        "an epoch of a study is one crop an image",
        RUNS,
        "return self.crops_per_frame if is_frame else self.crops_per_image",
        "return 1",
        "test_experiments_study.py::test_the_papers_form_counts_epochs_in_whole_batches",
    ),
    Mutant(
        "the rate falls a step late",
        "training/schedules.py",
        "rate = peak if progress < decay_at else peak / 5.0",
        "rate = peak if progress <= decay_at else peak / 5.0",
        RATE,
    ),
    Mutant(
        "the last rate is 1e-4",
        "training/schedules.py",
        "rate = peak if progress < decay_at else peak / 5.0",
        "rate = peak if progress < decay_at else peak / 10.0",
        RATE,
    ),
    Mutant(
        "the rate falls after half the epochs", CONFIG, "DECAY_AT = 0.6", "DECAY_AT = 0.5", RATE
    ),
    Mutant(
        "--decay_epoch is ignored",
        CONFIG,
        "return self.decay_epoch / self.epochs if self.decay_epoch else DECAY_AT",
        "return DECAY_AT",
        RATE,
    ),
    # A run on real noise has no level.
    Mutant("real noise keeps the default σ", CONFIG, "elif self.real_noise:", "elif False:", LEVEL),
    Mutant(
        "--sigma is accepted for real noise",
        "train.py",
        "if given.is_explicit(name):",
        "if False:",
        LEVEL,
    ),
    # The authors' networks.
    Mutant(
        "the authors' SKDnCNN gives the residual",
        "models/skdncnn.py",
        'denoised = output if self.variant == "authors" else noisy - output',
        "denoised = noisy - output",
        AUTHORS + "test_their_last_convolution_gives_the_image",
    ),
    Mutant(
        "the authors' GradNet-II has F channels and no further convolution",
        "models/skdncnn.py",
        'return self.variant == "authors" and self.fusion == "II"',
        "return False",
        AUTHORS + "test_skdncnn_has_the_size_of_the_authors_classes",
    ),
    Mutant(
        "the authors' skip carries f0 alone",
        "models/skdncnn.py",
        "            first = features\n",
        "            features = features\n",
        AUTHORS + "test_their_last_convolution_gives_the_image",
    ),
    Mutant(
        "the authors' ResUnit is not normalized",
        "layers/residual.py",
        "        if batch_norm:\n            self.conv1",
        "        if False:\n            self.conv1",
        AUTHORS + "test_gradnet_has_the_size_of_the_authors_class",
    ),
    Mutant(
        "GradNet-IV multiplies by the gradient alone",
        "experiments/fusion_study.py",
        'product: str = option("gate",',
        'product: str = option("gradient",',
        FORM + "test_the_readings_of_skdncnn_reach_the_networks",
    ),
    Mutant(
        "--network=authors changes nothing",
        "experiments/fusion_study.py",
        '"variant": network.network,',
        '"variant": "drawn",',
        FORM + "test_the_readings_of_skdncnn_reach_the_networks",
    ),
    Mutant(
        "no page says how SKDnCNN differs from the authors'",
        "docs/paper_sources.md",
        "| SKDnCNN's output | – | the image | y minus the residual, as in DnCNN | "
        "`fusion_study --network=authors` |\n",
        "",
        PAPER + "test_every_difference_of_the_sources_has_a_switch_or_a_reason",
    ),
    Mutant(
        "a difference of the sources has no switch",
        "docs/paper_sources.md",
        "| `--optimizer` |",
        "| – |",
        PAPER + "test_every_difference_of_the_sources_has_a_switch_or_a_reason",
    ),
    Mutant(
        "--score=best scores the last weights",
        RUNS,
        "        engine.model.load_weights(best_weights(Path(folder)))",
        "        pass",
        FORM + "test_the_best_weights_of_an_epoch_are_scored",
    ),
    Mutant(
        "--score=best chooses weights on the images that are scored",
        STUDY,
        'options.score != "best" or (found.name, found.split) not in chosen,',
        "True,",
        FORM + "test_the_best_weights_are_chosen_on_images_that_are_not_scored",
    ),
    # TFDS.
    Mutant(
        "TFDS: the train split contains the validation images",
        "tfds_builder.py",
        "apart = [split for split in info.splits if split not in info.unions]",
        "apart = list(info.splits)",
        TFDS + "test_no_two_splits_of_nyuv2_share_a_picture",
    ),
    Mutant(
        "TFDS: SIDD-Medium alone cannot be opened",
        "tfds_builder.py",
        "            missing.append((split, error))",
        "            raise",
        TFDS + "test_the_frames_of_sidd_open_alone_and_so_do_the_blocks",
    ),
    Mutant(
        "TFDS: the page leaves out a step before tfds.load",
        "docs/datasets.md",
        'open_tfds("nyuv2", data_dir="DATA", prepared_dir="PREPARED")',
        'open_tfds("nyuv2", data_dir="DATA")',
        TFDS + "test_the_documented_sequence_serves_nyuv2",
    ),
    # The Keras route.
    Mutant(
        "build_model freezes an untrained ψ",
        PRESETS,
        "naive.trainable = naive_is_new if joint is None else joint",
        "naive.trainable = bool(joint)",
        "test_keras_route.py",
    ),
    # Memory, and CBDNet.
    Mutant(
        "the study decodes all frames of SIDD into memory",
        RUNS,
        '        "streams": True,\n',
        "",
        FORM + "test_images_and_test_pairs_are_read_one_by_one",
    ),
    Mutant(
        "train.py reads the frames of SIDD instead of shards",
        "pipeline/stream.py",
        "        if self.prepared_dir:\n",
        "        if False:\n",
        "test_datasets_sidd.py::test_a_run_reads_pairs_from_shards_and_the_service_refuses_them",
    ),
    Mutant(
        "CBDNet's weights of PyTorch cannot be read",
        "published_networks.py",
        "            return _cbdnet(source, model_class)",
        "            pass",
        "test_published_cbdnet.py::test_the_network_computes_what_its_tensors_say",
    ),
    Mutant(
        "CBDNet's weights of MATLAB cannot be read",
        "published_networks.py",
        '        if any(layer.kind == "convt" for layer in layers):\n',
        "        if False:\n",
        "test_published_cbdnet.py::test_the_authors_matlab_layout",
    ),
    # The pages.
    Mutant(
        "reliability.md names a file of tests that is elsewhere",
        "docs/reliability.md",
        "tests/loading/test_load_hostile.py",
        "tests/test_load_hostile.py",
        "test_docs_pages.py::test_named_files_exist",
    ),
    Mutant(
        "results.md says that fixed filters beat learned ones",
        "docs/results.md",
        "The three fixed filters are level. Learned filters are never better:",
        "Fixed filters beat learned ones:",
        PAPER + "test_fixed_filters_are_not_said_to_win_where_the_interval_includes_zero",
    ),
    Mutant(
        "results.md leaves out that Sobel's interval includes zero",
        "docs/results.md",
        "Sobel filter is 0.13 to 0.15 dB worse on average, but the interval of that difference "
        "(± 0.35) includes zero.",
        "Sobel filter is 0.13 to 0.15 dB worse.",
        PAPER + "test_fixed_filters_are_not_said_to_win_where_the_interval_includes_zero",
    ),
    Mutant(
        "a step costs 90 GFLOP",
        "docs/recipes.md",
        "costs 71 GFLOP",
        "costs 90 GFLOP",
        PAPER + "test_the_cost_of_a_step_is_that_of_its_convolutions",
    ),
    Mutant(
        "a page installs the package from an index",
        "docs/python.md",
        'pip install ".[hub]"',
        "pip install 'gradnet-tf[hub]'",
        "test_docs_pages.py::test_the_package_is_not_said_to_be_on_an_index",
    ),
    Mutant(
        "a message installs the package from an index",
        "utils/errors.py",
        'pip install ".[{EXTRAS[package]}]" in a checkout',
        "pip install gradnet-tf[{EXTRAS[package]}]",
        "test_errors_command.py::test_install_hints_have_one_source_and_name_no_index",
    ),
    Mutant(
        "the default's card says that gray is replicated",
        "weights/gradnet_small_color_blind.json",
        "A gray image goes through the gray weights of the same preset and noise where these ship; "
        "otherwise it is replicated",
        "A gray image is replicated",
        "test_pretrained.py::test_cards_say_what_happens_to_gray",
    ),
    Mutant(
        "the next card will say that gray is replicated",
        "weights/shipping.py",
        ". A gray image goes through the gray weights of the same preset {noise} where "
        '"\n        "these ship; otherwise it is replicated',
        "; a gray image is replicated",
        "test_pretrained.py::test_cards_say_what_happens_to_gray",
    ),
    # The splits of each set.
    Mutant(
        "splits of NYUv2: train is one beside fit and validation",
        "sets/nyuv2.py",
        'unions=("train", "all"),',
        'unions=("all",),',
        APART + "[nyuv2]",
    ),
    Mutant(
        "splits of NYUv2: fit is all of train",
        "sets/nyuv2.py",
        'return folder.held_out_split(parts["train"], split)',
        'return parts["train"]',
        APART + "[nyuv2]",
    ),
    Mutant(
        "splits of SIDD: the held-out scenes are trained on",
        "sets/sidd.py",
        '(instance >= FIRST_HELD_OUT) != (split == "held_out")',
        'instance < FIRST_HELD_OUT and split == "held_out"',
        APART + "[sidd]",
    ),
    Mutant(
        "splits of RENOIR: all scenes are trained on",
        "sets/renoir.py",
        'own = "train" if number <= _LAST_TRAINING_SCENE else "validation"',
        "own = split",
        APART + "[renoir]",
    ),
    *(
        Mutant(
            f"splits of {name}: what is held out is trained on",
            "sets/folder_sets.py",
            "if (index in held_out) == wanted]",
            "if index in held_out or not wanted]",
            f"{APART}[{name}]",
        )
        for name in ("folder", "pairs", "flickr2k", "wed")
    ),
    Mutant(
        "splits of DIV2K: one folder for both",
        "sets/folder_sets.py",
        '"validation": ("DIV2K_valid_HR",)}',
        '"validation": ("DIV2K_train_HR",)}',
        APART + "[div2k]",
    ),
    Mutant(
        "splits of the drawings overlap",
        "sets/drawings.py",
        '"validation": 1_000_000}',
        '"validation": 100}',
        APART + "[drawings]",
    ),
    Mutant(
        "splits of the sample overlap",
        "sets/sample.py",
        'if split in (photograph.split, "all") and',
        "if",
        APART + "[sample]",
    ),
    Mutant(
        "splits of BSDS500: the validation images are trained on",
        "sets/bsds500.py",
        "(path.stem in VALIDATION_IMAGES) == wanted]",
        "path.stem in VALIDATION_IMAGES or not wanted]",
        "test_datasets_resolve.py::test_bsds500_leaves_the_test_images_out",
    ),
    Mutant(
        "splits of free_photos: the validation images are trained on",
        "sets/free_photos.py",
        'if not wanted or (split == "validation") != validates:',
        'if not wanted or (split == "validation" and not validates):',
        "test_datasets_free_photos.py::"
        "test_the_permissive_row_trains_on_cc0_and_cc_by_and_both_validate_on_the_same",
    ),
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], MUTANTS))
