"""Rows of facts: test sets of clean photographs, to which noise is added."""

from datasets.dataset_facts import DatasetFacts
from datasets.facts_training import BSD_TERMS

_FFDNET = "https://github.com/cszn/FFDNet (folder testsets)"
_MARTIN = (
    "D. Martin, C. Fowlkes, D. Tal, J. Malik: A Database of Human Segmented Natural Images and "
    "its Application to Evaluating Segmentation Algorithms, ICCV 2001"
)

CLEAN_ROWS = (
    DatasetFacts(
        name="cbsd68",
        title="CBSD68",
        counts={"test": 68},
        pattern=r"\d+\.(png|jpg|bmp)",
        origin=_FFDNET,
        terms=f"no licence file; the images are BSDS500's: {BSD_TERMS}",
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
        terms=f"no licence file; the images are BSDS500's: {BSD_TERMS}",
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
)
