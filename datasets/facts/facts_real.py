"""Rows of facts: photographs with real noise."""

from datasets.facts.dataset_facts import DatasetFacts, Protocol

_NAM = (
    "S. Nam, Y. Hwang, Y. Matsushita, S. J. Kim: A Holistic Approach to Cross-Channel Image Noise "
    "Modeling and its Application to Image Denoising, CVPR 2016"
)
_RNI = (
    "M. Lebrun, M. Colom, J.-M. Morel: The Noise Clinic: a Blind Image Denoising Algorithm, "
    "Image Processing On Line 5, 2015; the choice of 15: K. Zhang, W. Zuo, L. Zhang: FFDNet, "
    "IEEE TIP 27(9), 2018"
)
_MCWNNM = "https://github.com/csjunxu/MCWNNM-ICCV2017 (folder Real_ccnoise_denoised_part)"
# Their files are 8-bit already, so there is nothing to clip.
_REAL = "noisy files as they are, output clipped"

REAL_ROWS = (
    DatasetFacts(
        name="renoir",
        title="RENOIR",
        layout="renoir",
        aliases=("renoir_512",),
        splits=("train", "validation", "all", "with_misaligned"),
        evaluation_split="validation",
        training_split="train",
        validation_split="validation",
        counts={"train": 29, "validation": 10, "all": 39, "with_misaligned": 40},
        pattern=r"batch\d\d_(noisy|reference|clean)\.png",
        protocol=Protocol(
            split="scenes 1-30 train, 31-40 validate; scene 17 is misaligned and in no split but "
            "with_misaligned",
            crop="the 512×512 crops as published",
            clipping=_REAL,
            rounding="none; the clean image is the unrounded mean of two shots",
            noise="real",
            compares_with="none known for these crops; noisy input 28.24 dB over 39 scenes, "
            "28.06 dB over 40",
        ),
        origin="https://github.com/lbasek/image-denoising-benchmark: 512×512 crops of RENOIR",
        terms="MIT for the repository; none stated for the photographs, which are RENOIR's",
        citation="J. Anaya, A. Barbu: RENOIR - A Dataset for Real Low-Light Image Noise Reduction, "
        "Journal of Visual Communication and Image Representation 51, 2018",
        how_to_get="copy the folder of batchNN_{noisy,reference,clean}.png from "
        "https://github.com/lbasek/image-denoising-benchmark",
    ),
    DatasetFacts(
        name="polyu",
        title="PolyU",
        layout="pairs",
        aliases=("PolyU100", "CroppedImages"),
        counts={"test": 100},
        pattern=r".*_(real|mean)\.jpe?g",
        protocol=Protocol(
            split="all 100 cropped pairs",
            crop="the 512×512 crops as published",
            clipping=_REAL,
            noise="real",
            compares_with="tables over the 100 crops (noisy input 35.97 dB as the mean over "
            "images); tables over full images are others",
        ),
        origin="https://github.com/csjunxu/PolyU-Real-World-Noisy-Images-Dataset (folder "
        "CroppedImages)",
        terms="research use only",
        citation="J. Xu, H. Li, Z. Liang, D. Zhang, L. Zhang: Real-world Noisy Image Denoising: A "
        "New Benchmark, arXiv:1804.02603, 2018",
        how_to_get="copy CroppedImages (*_real.JPG, *_mean.JPG) from "
        "https://github.com/csjunxu/PolyU-Real-World-Noisy-Images-Dataset",
    ),
    DatasetFacts(
        name="cc15",
        title="CC15",
        layout="pairs",
        aliases=("CC", "Real_ccnoise_denoised_part"),
        counts={"test": 15},
        pattern=r".*_(real|mean)\.png",
        protocol=Protocol(
            split="all 15 cropped pairs",
            crop="the 512×512 crops as published",
            clipping=_REAL,
            noise="real",
            compares_with="tables over the 15 crops (MCWNNM and after)",
        ),
        origin=f"{_MCWNNM}, cropped from Nam",
        terms="non-commercial (licence of the repository)",
        citation=f"{_NAM}; the crops: J. Xu, L. Zhang, D. Zhang, X. Feng: Multi-channel Weighted "
        "Nuclear Norm Minimization for Real Color Image Denoising, ICCV 2017",
        how_to_get=f"copy *_real.png and *_mean.png from {_MCWNNM}",
    ),
    DatasetFacts(
        name="nam",
        title="Nam",
        layout="pairs",
        aliases=("Nam2016", "CCNoise"),
        pattern=r".*_(real|mean)\.(png|jpe?g)",
        protocol=Protocol(
            split="the pairs that are there: papers cut 11 scenes into crops of their own choice",
            crop="whole images as they are in the folder",
            clipping=_REAL,
            noise="real",
            compares_with="no common table; for one, take cc15",
        ),
        origin="http://snam.ml/research/ccnoise (gone)",
        terms="none stated with the images",
        citation=_NAM,
        how_to_get="the authors' site is gone; put pairs *_real.* (one shot) and *_mean.* (mean of "
        "the shots) of a copy into a folder nam, or use cc15, its 15 public crops",
    ),
    DatasetFacts(
        name="rni15",
        title="RNI15",
        aliases=("RNI",),
        counts={"test": 15},
        pattern=r"(audrey_hepburn|bears|boy|dog|flowers|frog|glass|movie|pattern[123]|postcards|"
        r"singer|stars|window)\.(png|jpe?g)",
        without_clean=("test",),
        protocol=Protocol(
            split="all 15 images",
            clipping=_REAL,
            noise="real",
            compares_with="nothing: no clean images; for looking at",
        ),
        origin="https://github.com/cszn/FFDNet (folder testsets), from the Noise Clinic",
        terms="no licence file",
        citation=_RNI,
        how_to_get="copy RNI15 from https://github.com/cszn/FFDNet (folder testsets)",
    ),
    DatasetFacts(
        name="pairs",
        title="pairs",
        colour=None,
        layout="pairs",
        splits=("all", "train", "validation", "test"),
        evaluation_split="all",
        training_split="train",
        validation_split="validation",
        protocol=Protocol(
            split="all pairs, or the folders train, validation and test; without a folder "
            "validation one pair of twenty is held out of train, 16 at most",
            clipping=_REAL,
            colour_space="RGB; grey with --channels=1 in training",
            noise="real",
            compares_with="none: your own images",
        ),
        origin="your own images",
        how_to_get="give --data_dir two folders such as noisy and clean whose files have equal "
        "names, or one folder of files such as a_noisy.png and a_clean.png",
    ),
)
