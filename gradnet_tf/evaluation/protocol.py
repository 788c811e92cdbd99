"""The protocol of a set in words, and where a result departs from it."""

from typing import Any

NO_CLEAN = "no clean images: nothing is scored, the pictures are there to be looked at"
# Key of `protocol` in metrics.json and what it is called.
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
    """Returns the protocol of a result's set as (name, text); empty where none is known."""
    protocol = result.get("protocol")
    return [(name, protocol[key]) for key, name in _FIELDS] if protocol else []


def protocol_lines(result: dict[str, Any]) -> list[str]:
    """Returns the protocol as lines for a console; empty without one."""
    items = protocol_items(result)
    width = max((len(name) for name, _ in items), default=0)
    lines = [f"  {name.ljust(width)}  {value}" for name, value in items]
    return [f"protocol of {result['dataset']}", *lines] if items else []


def departures(result: dict[str, Any]) -> list[str]:
    """Returns why the scores of a result do not compare with published ones, a sentence each."""
    found = [] if result.get("has_clean", True) else [NO_CLEAN]
    protocol = result.get("protocol")
    if not protocol:
        return found
    expected, images = protocol["images"], len(result["images"])
    if not found and expected is not None and expected != images:
        found.append(
            f"{images} of {expected} images: the mean does not compare with published ones"
        )
    if result.get("degradation") and result["sigma"] is None:
        found.append(f"noise {result['degradation']}: published scores are of {protocol['noise']}")
    if result["clip_noisy"] and protocol["noise"] == "AWGN":
        found.append("the protocol does not clip the noisy input: published scores are of another")
    return found
