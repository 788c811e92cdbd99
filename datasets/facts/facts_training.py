"""Rows of facts: sets to train on, clean photographs to which noise is added."""

from datasets.facts.dataset_facts import DatasetFacts, Protocol

BSD_TERMS = "non-commercial research and education; asks for citation"
_HELD_OUT = "the split train; 16 images, evenly spaced in byte order, are held out for validation"

_CHOOSING = "none; for training and for choosing checkpoints"
_FREE_SPLIT = (
    "all but 16 named photographs of CID22 train; these 16, by the smallest sha256 of their names, "
    "choose checkpoints"
)
_FREE_ORIGIN = (
    "wallpapers of Budgie, elementary, Fedora, Lomiri, openSUSE, Pop!_OS and Ubuntu MATE, gb82, "
    "and CID22's references"
)
_FREE_HOW = (
    "into a folder free_photos put manifest.tsv and, in train, the photographs that it lists; "
    "docs/free_photos.md names the source of each"
)

TRAINING_ROWS = (
    DatasetFacts(
        name="bsds500",
        title="BSDS500",
        layout="bsds500",
        aliases=("BSDS500", "BSR", "BSDS"),
        splits=("train", "validation", "trainable"),
        evaluation_split="validation",
        training_split="train",
        validation_split="validation",
        refused_splits=dict.fromkeys(
            ("val", "test", "all"),
            "the official val folder holds the 68 test images of CBSD68, which are kept out "
            "(evaluate on them with --dataset=cbsd68)",
        ),
        counts={"train": 416, "validation": 16, "trainable": 432},
        pattern=r"\d+\.jpe?g",
        protocol=Protocol(
            split="432 of the 500 images, those that are not in BSD68; 16 of them, the ones with "
            "the smallest sha256 of their number, are the validation split",
            compares_with="none; for training and for choosing checkpoints",
        ),
        origin="https://github.com/BIDS/BSDS500",
        terms=BSD_TERMS,
        citation="P. Arbelaez, M. Maire, C. Fowlkes, J. Malik: Contour Detection and Hierarchical "
        "Image Segmentation, IEEE TPAMI 33(5), 2011",
        how_to_get="clone https://github.com/BIDS/BSDS500; its images are in "
        "BSDS500/data/images/{train,val,test}",
    ),
    DatasetFacts(
        name="div2k",
        title="DIV2K",
        layout="split_folders",
        splits=("train", "validation"),
        evaluation_split="validation",
        training_split="train",
        validation_split="validation",
        counts={"train": 800, "validation": 100},
        pattern=r"\d{4}\.png",
        split_folders={"train": ("DIV2K_train_HR",), "validation": ("DIV2K_valid_HR",)},
        protocol=Protocol(
            split="the 800 of DIV2K_train_HR train, the 100 of DIV2K_valid_HR validate",
            compares_with="none; for training and for choosing checkpoints",
        ),
        origin="https://data.vision.ee.ethz.ch/cvl/DIV2K/",
        terms="academic research only; the photographs belong to their owners",
        citation="E. Agustsson, R. Timofte: NTIRE 2017 Challenge on Single Image "
        "Super-Resolution: Dataset and Study, CVPR Workshops 2017",
        how_to_get="unpack DIV2K_train_HR.zip and DIV2K_valid_HR.zip of "
        "https://data.vision.ee.ethz.ch/cvl/DIV2K/ into a folder DIV2K",
    ),
    DatasetFacts(
        name="flickr2k",
        title="Flickr2K",
        layout="split_folders",
        splits=("train", "validation", "all"),
        evaluation_split="validation",
        training_split="train",
        validation_split="validation",
        counts={"train": 2634, "validation": 16, "all": 2650},
        pattern=r"\d{6}\.png",
        split_folders={"train": ("Flickr2K_HR", ".")},
        protocol=Protocol(
            split=_HELD_OUT, compares_with="none; for training and for choosing checkpoints"
        ),
        origin="https://github.com/limbee/NTIRE2017",
        terms="none stated with the images; the photographs belong to their owners on Flickr",
        citation="B. Lim, S. Son, H. Kim, S. Nah, K. M. Lee: Enhanced Deep Residual Networks for "
        "Single Image Super-Resolution, CVPR Workshops 2017",
        how_to_get="unpack Flickr2K.tar, linked at https://github.com/limbee/NTIRE2017; its images "
        "are in Flickr2K/Flickr2K_HR",
    ),
    DatasetFacts(
        name="wed",
        title="WED",
        layout="split_folders",
        aliases=("WaterlooED", "WED4744", "exploration_database_and_code"),
        splits=("train", "validation", "all"),
        evaluation_split="validation",
        training_split="train",
        validation_split="validation",
        counts={"train": 4728, "validation": 16, "all": 4744},
        pattern=r"\d{5}\.(bmp|png)",
        split_folders={"train": ("pristine_images", ".")},
        protocol=Protocol(
            split=_HELD_OUT, compares_with="none; for training and for choosing checkpoints"
        ),
        origin="https://ece.uwaterloo.ca/~k29ma/exploration/",
        terms="research use; asks for citation",
        citation="K. Ma, Z. Duanmu, Q. Wu, Z. Wang, H. Yong, H. Li, L. Zhang: Waterloo Exploration "
        "Database: New Challenges for Image Quality Assessment Models, IEEE TIP 26(2), 2017",
        how_to_get="unpack the archive of https://ece.uwaterloo.ca/~k29ma/exploration/ into a "
        "folder WED; its images are in pristine_images",
    ),
    DatasetFacts(
        name="free_photos",
        title="free_photos",
        layout="free_photos",
        splits=("train", "validation"),
        evaluation_split="validation",
        training_split="train",
        validation_split="validation",
        counts={"train": 317, "validation": 16},
        protocol=Protocol(split=_FREE_SPLIT, compares_with=_CHOOSING),
        origin=_FREE_ORIGIN,
        terms="each photograph its own: CC0, CC-BY or CC-BY-SA, see docs/free_photos.md",
        citation="see docs/free_photos.md",
        how_to_get=_FREE_HOW,
    ),
    DatasetFacts(
        name="free_photos_cc_by",
        title="free_photos_cc_by",
        layout="free_photos_cc_by",
        splits=("train", "validation"),
        evaluation_split="validation",
        training_split="train",
        validation_split="validation",
        counts={"train": 78, "validation": 16},
        protocol=Protocol(
            split="the photographs under CC0 or CC-BY train; the same 16 as in free_photos, which "
            "are under CC-BY-SA, choose checkpoints",
            compares_with=_CHOOSING,
        ),
        origin=_FREE_ORIGIN,
        terms="CC0 or CC-BY (ask for attribution at most), see docs/free_photos.md; the "
        "photographs that choose checkpoints are under CC-BY-SA",
        citation="see docs/free_photos.md",
        how_to_get=_FREE_HOW,
    ),
    DatasetFacts(
        name="drawings",
        title="drawings",
        layout="drawings",
        splits=("train", "validation"),
        evaluation_split="validation",
        training_split="train",
        validation_split="validation",
        counts={"train": 240, "validation": 8},
        protocol=Protocol(
            split="made here, from their number: text, line art, screenshots, surfaces",
            compares_with="none; for training beside photographs",
        ),
        origin="made by datasets/sets/drawings.py",
        terms="none",
        citation="datasets/sets/drawings.py",
        how_to_get="nothing to get: they are drawn when they are asked for",
    ),
)
