"""The protocol of a set in words, and the deviations of a result from it."""

from typing import Any

#: Limit on PSNR in dB. An image that equals the clean one scores this and not infinity, so that
#: means exist; below, an error of half a level of 255 is 58.9 dB.
MAX_PSNR = 100.0
NO_CLEAN = "no clean images: there are no scores, only pictures"
# Keys of `protocol` in metrics.json and their labels.
_FIELDS = (
    ("split", "images"),
    ("crop", "crop"),
    ("clipping", "clipping"),
    ("rounding", "rounding"),
    ("colour_space", "color space"),
    ("noise", "noise"),
    ("compares_with", "compares with"),
)


def protocol_items(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the protocol of a result's set as (label, text); empty if it is unknown."""
    protocol = result.get("protocol")
    return [(name, protocol[key]) for key, name in _FIELDS] if protocol else []


def protocol_lines(result: dict[str, Any]) -> list[str]:
    """Returns the protocol as lines for a console; empty without one."""
    items = protocol_items(result)
    width = max((len(name) for name, _ in items), default=0)
    lines = [f"  {name.ljust(width)}  {value}" for name, value in items]
    return [f"protocol of {result['dataset']}", *lines] if items else []


def departures(result: dict[str, Any]) -> list[str]:
    """Returns sentences on why the scores of a result are not comparable with published ones."""
    found = [] if result.get("has_clean", True) else [NO_CLEAN]
    protocol = result.get("protocol")
    if not protocol:
        return found
    expected, images = protocol["images"], len(result["images"])
    if not found and expected is not None and expected != images:
        found.append(
            f"{images} of {expected} images: the mean is not comparable with published ones"
        )
    if result.get("degradation") and result["sigma"] is None:
        found.append(f"noise {result['degradation']}: published scores are for {protocol['noise']}")
    if result["clip_noisy"] and protocol["noise"] == "AWGN":
        found.append("the noisy input was clipped, but the protocol does not clip it")
    return found
