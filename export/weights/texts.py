"""What every card says in words."""

#: What weights may be used for, by training set.
LICENCES = {
    "bsds500": "non-commercial research and education (the terms of BSDS500, the training images)",
    "sample": "the terms of the sample photographs, see datasets/sets/sample.py",
}


def limits(channels: int, sigma_min: float, sigma_max: float) -> list[str]:
    """Returns sentences on what a network trained on Gaussian noise does not do."""
    if sigma_min == sigma_max:
        level = (
            f"Trained on white Gaussian noise of sigma {sigma_max:g} (0-255 scale) alone: weaker "
            "noise and clean images lose detail, of stronger noise much stays."
        )
    else:
        level = (
            f"Trained on white Gaussian noise of sigma {sigma_min:g} to {sigma_max:g} (0-255 "
            "scale), independent in every pixel and channel; of stronger noise much stays."
        )
    kind = (
        "Takes RGB; a grey image is replicated to three channels and the result averaged."
        if channels == 3
        else "Takes grey; a colour image goes through channel by channel, without what its "
        "channels have in common."
    )
    return [
        level,
        "Coarse, correlated grain mostly stays: that of enlarged or strongly compressed "
        "photographs.",
        "Images unlike the training set's photographs were not tried: drawings, text, scans, "
        "raw files.",
        kind,
    ]
