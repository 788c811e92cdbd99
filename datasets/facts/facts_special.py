"""Rows of facts: sets whose files are MATLAB arrays or scene folders (SIDD, DND, NYUv2)."""

from datasets.facts.dataset_facts import DatasetFacts, Protocol

_AS_PHOTOGRAPHED = "noisy input as photographed, output clipped"
_ROUNDING = "none; psnr_uint8 after rounding half to even"

SPECIAL_ROWS = (
    DatasetFacts(
        name="sidd",
        title="SIDD",
        layout="sidd",
        aliases=(
            "SIDD_Medium_Srgb",
            "SIDD_Small_sRGB_Only",
            "SIDD_Validation_sRGB",
            "SIDD_Benchmark_sRGB",
            "sidd_sample",
        ),
        splits=("train", "held_out", "validation", "benchmark"),
        evaluation_split="validation",
        training_split="train",
        validation_split="held_out",
        counts={"train": 302, "held_out": 18, "validation": 1280, "benchmark": 1280},
        without_clean=("benchmark",),
        protocol=Protocol(
            split="the 1280 validation blocks, not the benchmark's",
            crop="the published blocks of 256×256",
            clipping=_AS_PHOTOGRAPHED,
            rounding=_ROUNDING,
            noise="real",
            compares_with="SIDD rows of MPRNet and later (validation blocks): MPRNet 39.71, "
            "NAFNet-32 39.97 dB; not the benchmark's table, with DnCNN 23.66 and BM3D 25.65 dB",
        ),
        split_protocols={
            "benchmark": Protocol(
                split="the 1280 benchmark blocks, scored by their server alone "
                "(python -m datasets.commands.submit sidd)",
                crop="the published blocks of 256×256",
                clipping=_AS_PHOTOGRAPHED,
                rounding="the submission is rounded half to even",
                noise="real",
                compares_with="the benchmark's table: DnCNN 23.66, BM3D 25.65, RIDNet 38.71 dB",
            ),
            "held_out": Protocol(
                split="all frames of scenes 009 and 010, instances 0192-0200; a choice made here",
                clipping=_AS_PHOTOGRAPHED,
                rounding=_ROUNDING,
                noise="real",
            ),
        },
        origin="https://abdokamel.github.io/sidd/",
        terms="stated on the site; read them there",
        citation="A. Abdelhamed, S. Lin, M. S. Brown: A High-Quality Denoising Dataset for "
        "Smartphone Cameras, CVPR 2018",
        how_to_get="from https://abdokamel.github.io/sidd/ download SIDD-Medium sRGB (train), "
        "ValidationNoisyBlocksSrgb.mat and ValidationGtBlocksSrgb.mat (validation) or "
        "BenchmarkNoisyBlocksSrgb.mat (benchmark) into a folder sidd",
    ),
    DatasetFacts(
        name="dnd",
        title="DND",
        layout="dnd",
        aliases=("DnD", "dnd_2017"),
        splits=("test",),
        counts={"test": 1000},
        without_clean=("test",),
        protocol=Protocol(
            split="50 photographs, 20 boxes in each; the score comes from the benchmark's server "
            "(python -m datasets.commands.submit dnd)",
            crop="the published boxes of 512×512",
            clipping=_AS_PHOTOGRAPHED,
            rounding="none in a submission; pictures are rounded",
            noise="real",
            compares_with="DND sRGB rows: CBDNet 38.06, RIDNet 39.23, MAXIM-3S 39.84 dB",
        ),
        origin="https://noise.visinf.tu-darmstadt.de/",
        terms="stated on the site; read them there",
        citation="T. Plötz, S. Roth: Benchmarking Denoising Algorithms with Real Photographs, "
        "CVPR 2017",
        how_to_get="from https://noise.visinf.tu-darmstadt.de/downloads/ unpack the benchmark data "
        "(info.mat, images_srgb) into a folder dnd",
    ),
    DatasetFacts(
        name="nyuv2",
        title="NYUv2",
        layout="nyuv2",
        aliases=("nyuv2_sample", "NYU_v2", "nyu_depth_v2"),
        splits=("train", "test", "all", "fit", "validation"),
        training_split="fit",
        validation_split="validation",
        counts={"train": 795, "test": 654, "all": 1449, "fit": 779, "validation": 16},
        recursive=True,
        protocol=Protocol(
            split="the 654 test images of splits.mat; a folder of PNG files is whatever it holds",
            crop="whole images of 480×640, with their white frame",
            compares_with="GradNet's fusion study at σ = 15 and 50, which gives differences only",
        ),
        origin="https://cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html",
        terms="none stated with the images",
        citation="N. Silberman, D. Hoiem, P. Kohli, R. Fergus: Indoor Segmentation and Support "
        "Inference from RGBD Images, ECCV 2012",
        how_to_get="from https://cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html download "
        "nyu_depth_v2_labeled.mat and splits.mat into a folder nyuv2, or put PNG files of the "
        "images there (folders below it count)",
    ),
)
