"""Rows of facts: sets to train on, clean photographs to which noise is added."""

from datasets.dataset_facts import DatasetFacts

BSD_TERMS = "non-commercial research and education; asks for citation"

TRAINING_ROWS = (
    DatasetFacts(
        name="bsds500",
        title="BSDS500",
        layout="bsds500",
        refused_splits=dict.fromkeys(
            ("val", "test", "all"),
            "the official val folder holds the 68 test images of CBSD68, which are kept out "
            "(evaluate on them with --dataset=cbsd68)",
        ),
        aliases=("BSDS500", "BSR", "BSDS"),
        splits=("train", "validation", "trainable"),
        evaluation_split="validation",
        training_split="train",
        validation_split="validation",
        counts={"train": 416, "validation": 16, "trainable": 432},
        pattern=r"\d+\.jpe?g",
        origin="https://github.com/BIDS/BSDS500",
        terms=BSD_TERMS,
        citation="P. Arbelaez, M. Maire, C. Fowlkes, J. Malik: Contour Detection and Hierarchical "
        "Image Segmentation, IEEE TPAMI 33(5), 2011",
        how_to_get="clone https://github.com/BIDS/BSDS500; its images are in "
        "BSDS500/data/images/{train,val,test}",
    ),
)
