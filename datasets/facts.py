"""What is known about each set of images, as data: where it is found, its splits and its terms."""

import dataclasses

from gradnet_tf.errors import UserError

_FFDNET = "https://github.com/cszn/FFDNet (folder testsets)"
_BSD_TERMS = "non-commercial research and education; asks for citation"
_MARTIN = (
    "D. Martin, C. Fowlkes, D. Tal, J. Malik: A Database of Human Segmented Natural Images and "
    "its Application to Evaluating Segmentation Algorithms, ICCV 2001"
)


@dataclasses.dataclass(frozen=True)
class DatasetFacts:
    """The facts of one set.

    Attributes:
        name: the name on the command line.
        title: the name in tables.
        aliases: further folder names under `--data_dir`, whatever their case.
        colour: True for RGB, False for grey, None for whatever the files are.
        splits: the splits that can be asked for.
        evaluation_split: the split that `evaluate.py` takes by default.
        training_split: the split to train on; None for a set that is for tests only.
        validation_split: the split to choose checkpoints on, None as above.
        counts: number of images by split; empty when it depends on the user's files.
        pattern: regular expression that the file names match, so that a
            folder of another name can be recognised.
        recursive: whether images in folders below belong to the set.
        origin: where the images come from.
        terms: the terms of use, as far as they are stated.
        citation: what to cite.
        how_to_get: what a person does to obtain the images.
    """

    name: str
    title: str
    aliases: tuple[str, ...] = ()
    colour: bool | None = True
    splits: tuple[str, ...] = ("test",)
    evaluation_split: str = "test"
    training_split: str | None = None
    validation_split: str | None = None
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    pattern: str = ".*"
    recursive: bool = False
    origin: str = ""
    terms: str = ""
    citation: str = ""
    how_to_get: str = ""

    @property
    def role(self) -> str:
        """Says `train` for sets with a training split and `test` for the others."""
        return "test" if self.training_split is None else "train"

    @property
    def channels(self) -> int:
        """The number of channels that images are read with unless asked otherwise."""
        return 1 if self.colour is False else 3


_ROWS = (
    DatasetFacts(
        name="sample",
        title="sample photographs",
        splits=("train", "validation", "test", "all"),
        training_split="train",
        validation_split="validation",
        origin="photographs inside the installed scikit-image and scikit-learn packages",
        terms="each photograph its own; see datasets/sample.py",
        citation="see datasets/sample.py",
        how_to_get="pip install scikit-image scikit-learn (they are in requirements.txt)",
    ),
    DatasetFacts(
        name="folder",
        title="folder",
        colour=None,
        splits=("all", "train", "validation", "test"),
        evaluation_split="all",
        training_split="train",
        validation_split="validation",
        origin="your own images",
        how_to_get="give --data_dir a folder of clean images",
    ),
    DatasetFacts(
        name="bsds500",
        title="BSDS500",
        aliases=("BSDS500", "BSR", "BSDS"),
        splits=("train", "validation", "trainable"),
        evaluation_split="validation",
        training_split="train",
        validation_split="validation",
        counts={"train": 416, "validation": 16, "trainable": 432},
        pattern=r"\d+\.jpe?g",
        origin="https://github.com/BIDS/BSDS500",
        terms=_BSD_TERMS,
        citation="P. Arbelaez, M. Maire, C. Fowlkes, J. Malik: Contour Detection and Hierarchical "
        "Image Segmentation, IEEE TPAMI 33(5), 2011",
        how_to_get="clone https://github.com/BIDS/BSDS500; its images are in "
        "BSDS500/data/images/{train,val,test}",
    ),
    DatasetFacts(
        name="cbsd68",
        title="CBSD68",
        counts={"test": 68},
        pattern=r"\d+\.(png|jpg|bmp)",
        origin=_FFDNET,
        terms=f"no licence file; the images are BSDS500's: {_BSD_TERMS}",
        citation=f"{_MARTIN}; the choice of 68: S. Roth, M. J. Black: Fields of Experts, IJCV 2009",
        how_to_get=f"copy CBSD68 from {_FFDNET}",
    ),
    DatasetFacts(
        name="bsd68",
        title="BSD68",
        aliases=("Set68",),
        colour=False,
        counts={"test": 68},
        pattern=r"test\d+\.(png|jpg|bmp)",
        origin=_FFDNET,
        terms=f"no licence file; the images are BSDS500's: {_BSD_TERMS}",
        citation=f"{_MARTIN}; the choice of 68: S. Roth, M. J. Black: Fields of Experts, IJCV 2009",
        how_to_get=f"copy BSD68 from {_FFDNET}",
    ),
    DatasetFacts(
        name="set12",
        title="Set12",
        colour=False,
        counts={"test": 12},
        pattern=r"\d\d\.(png|tif|bmp)",
        origin=_FFDNET,
        terms="no licence file",
        citation="K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang: Beyond a Gaussian Denoiser, "
        "IEEE TIP 26(7), 2017",
        how_to_get=f"copy Set12 from {_FFDNET}",
    ),
    DatasetFacts(
        name="kodak24",
        title="Kodak24",
        aliases=("Kodak", "KodakCD"),
        counts={"test": 24},
        pattern=r"kodim\d\d\.(png|tif|bmp)",
        origin=f"https://r0k.us/graphics/kodak/ and {_FFDNET}",
        terms="released by Eastman Kodak for unrestricted use, as r0k.us states",
        citation="R. Franzen: Kodak Lossless True Color Image Suite, https://r0k.us/graphics/kodak/",
        how_to_get=f"copy Kodak24 from {_FFDNET}",
    ),
    DatasetFacts(
        name="mcmaster",
        title="McMaster",
        aliases=("McM", "McMaster18"),
        counts={"test": 18},
        pattern=r"(mcm)?\d+\.(png|tif|bmp)",
        origin="https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
        terms="no licence file",
        citation="L. Zhang, X. Wu, A. Buades, X. Li: Color demosaicking by local directional "
        "interpolation and nonlocal adaptive thresholding, Journal of Electronic Imaging 20(2), "
        "2011",
        how_to_get="download McM from https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
    ),
    DatasetFacts(
        name="nyuv2",
        title="NYUv2",
        aliases=("nyuv2_sample", "NYU_v2"),
        recursive=True,
        origin="https://cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html",
        terms="none stated with the images",
        citation="N. Silberman, D. Hoiem, P. Kohli, R. Fergus: Indoor Segmentation and Support "
        "Inference from RGBD Images, ECCV 2012",
        how_to_get="put RGB images of NYUv2 as PNG files into a folder nyuv2 (folders below it "
        "count)",
    ),
    DatasetFacts(
        name="renoir",
        title="RENOIR",
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

FACTS: dict[str, DatasetFacts] = {row.name: row for row in _ROWS}
#: Names of the sets that may be trained on.
TRAINING_SETS = tuple(sorted(row.name for row in _ROWS if row.training_split))


def get_facts(name: str) -> DatasetFacts:
    """Returns the row of a set by its name or an alias, whatever the case.

    Raises:
        UserError: for an unknown name; the message lists the known ones.
    """
    wanted = name.casefold()
    for row in _ROWS:
        if wanted in {known.casefold() for known in (row.name, *row.aliases)}:
            return row
    raise UserError(f"unknown dataset {name!r}.\n`dataset` must be one of {', '.join(FACTS)}.")
