"""Rows of facts: test sets of clean photographs, to which noise is added."""

from datasets.facts.dataset_facts import DatasetFacts, Protocol
from datasets.facts.facts_training import BSD_TERMS

_FFDNET = "https://github.com/cszn/FFDNet (folder testsets)"
_MARTIN = (
    "D. Martin, C. Fowlkes, D. Tal, J. Malik: A Database of Human Segmented Natural Images and "
    "its Application to Evaluating Segmentation Algorithms, ICCV 2001"
)

_COLOUR_TABLES = (
    "colour tables of FFDNet, DPIR and SwinIR: σ = 15, 25, 50, PSNR over the three channels"
)
_GREY_TABLES = "grey tables of DnCNN, FFDNet, DPIR and SwinIR: σ = 15, 25, 50"


def _awgn(split: str, compares_with: str, colour_space: str = "RGB") -> Protocol:
    return Protocol(split=split, colour_space=colour_space, compares_with=compares_with)


CLEAN_ROWS = (
    DatasetFacts(
        name="cbsd68",
        title="CBSD68",
        counts={"test": 68},
        pattern=r"\d+\.(png|jpg|bmp)",
        protocol=_awgn("all 68 images, which are in BSDS500 val", _COLOUR_TABLES),
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
        pattern=r"(test)?\d+\.(png|jpg|bmp)",
        protocol=_awgn("all 68 images, which are in BSDS500 val", _GREY_TABLES, "grey"),
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
        protocol=_awgn("all 12 images", _GREY_TABLES, "grey"),
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
        pattern=r"(kodim|kodak)?_?\d{1,2}\.(png|tiff?|bmp)",
        protocol=_awgn("all 24 images", _COLOUR_TABLES),
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
        pattern=r"(mcm|mcmaster)?_?\d{1,2}\.(png|tiff?|bmp)",
        protocol=_awgn("all 18 images", _COLOUR_TABLES),
        origin="https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
        terms="no licence file",
        citation="L. Zhang, X. Wu, A. Buades, X. Li: Color demosaicking by local directional "
        "interpolation and nonlocal adaptive thresholding, Journal of Electronic Imaging 20(2), "
        "2011",
        how_to_get="download McM from https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
    ),
    DatasetFacts(
        name="urban100",
        title="Urban100",
        aliases=("Urban100_HR", "image_SRF_4"),
        counts={"test": 100},
        pattern=r"img_?\d{3}(_srf_\d_hr)?\.png",
        protocol=_awgn("all 100 images", "colour tables of SwinIR and Restormer: σ = 15, 25, 50"),
        origin="https://github.com/jbhuang0604/SelfExSR",
        terms="none stated with the images, which are from Flickr",
        citation="J.-B. Huang, A. Singh, N. Ahuja: Single Image Super-Resolution from Transformed "
        "Self-Exemplars, CVPR 2015",
        how_to_get="get the high-resolution images img_001 to img_100 of Urban100, linked at "
        "https://github.com/jbhuang0604/SelfExSR",
    ),
)
