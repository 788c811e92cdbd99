"""Rows of facts: photographs with real noise."""

from datasets.dataset_facts import DatasetFacts

REAL_ROWS = (
    DatasetFacts(
        name="renoir",
        title="RENOIR",
        layout="renoir",
        aliases=("renoir_512",),
        splits=("train", "validation", "all"),
        evaluation_split="validation",
        training_split="train",
        validation_split="validation",
        counts={"train": 29, "validation": 10, "all": 39},
        pattern=r"batch\d\d_(noisy|reference|clean)\.png",
        origin="https://github.com/lbasek/image-denoising-benchmark: 512×512 crops of RENOIR",
        terms="MIT for the repository; none stated for the photographs, which are RENOIR's",
        citation="J. Anaya, A. Barbu: RENOIR - A Dataset for Real Low-Light Image Noise Reduction, "
        "Journal of Visual Communication and Image Representation 51, 2018",
        how_to_get="copy the folder of batchNN_{noisy,reference,clean}.png from "
        "https://github.com/lbasek/image-denoising-benchmark",
    ),
)
