"""`hf://` and `kaggle://`: fetches a preset folder from a model hub, because it was asked for.

Names of shipped weights and folders never lead here, so nothing is downloaded unless an address is
given. What was fetched before comes from the hub's own cache, also without a network
(`HF_HUB_OFFLINE=1`).
"""

import re
from pathlib import Path

from gradnet_tf.utils.errors import UserError, install_command
from gradnet_tf.weights import ADDRESSES
from gradnet_tf.weights.preset_folder import CARD, CONFIG, METADATA, WEIGHTS

_HUGGING_FACE, _KAGGLE = ADDRESSES
#: Nothing else of a repository is fetched; without the last one a preset still loads.
_REQUIRED, _OPTIONAL = (CONFIG, METADATA, WEIGHTS), (CARD,)
# user/repo, with the revision (a branch, a tag or a commit) after "@".
_REPOSITORY = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
# owner/model/framework/variation, with the version after another "/".
_HANDLE = re.compile(r"[\w.-]+/[\w.-]+/[\w.-]+/[\w.-]+(/\d+)?")


def fetch(address: str) -> Path:
    """Returns the local folder with the files of a preset on a hub.

    Args:
        address: `hf://USER/REPO` or `hf://USER/REPO@REVISION`, of huggingface.co or the server in
            `HF_ENDPOINT`; `kaggle://OWNER/MODEL/keras/VARIATION`, with `/VERSION` if wanted.

    Raises:
        UserError: the address is malformed, the hub's package is not installed, or the files
            cannot be fetched.
    """
    if address.startswith(_KAGGLE):
        return _from_kaggle(address)
    found = _REPOSITORY.fullmatch(address.removeprefix(_HUGGING_FACE))
    if found is None:
        raise UserError(f"{address}: expected hf://USER/REPO or hf://USER/REPO@REVISION.")
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise _not_installed(address, "huggingface_hub") from error
    try:
        for name in _REQUIRED:
            path = huggingface_hub.hf_hub_download(found["repo"], name, revision=found["revision"])
    except Exception as error:  # the package's own errors, and those of the connection
        raise _not_fetched(address, error) from error
    for name in _OPTIONAL:
        try:
            huggingface_hub.hf_hub_download(found["repo"], name, revision=found["revision"])
        except Exception:  # noqa: S112  the network loads without it
            continue
    return Path(path).parent


def _from_kaggle(address: str) -> Path:
    handle = address.removeprefix(_KAGGLE)
    if _HANDLE.fullmatch(handle) is None:
        raise UserError(
            f"{address}: expected kaggle://OWNER/MODEL/keras/VARIATION, with /VERSION if wanted."
        )
    try:
        import kagglehub
    except ModuleNotFoundError as error:
        raise _not_installed(address, "kagglehub") from error
    try:
        for name in _REQUIRED:
            path = kagglehub.model_download(handle, path=name)
    except Exception as error:  # the package's own errors, and those of the connection
        raise _not_fetched(address, error) from error
    return Path(path).parent


def _not_installed(address: str, package: str) -> UserError:
    return UserError(
        f"{address}: needs {package}, which is not installed.\n"
        f"Install it: {install_command(package)}, or download the folder and give its path."
    )


def _not_fetched(address: str, error: Exception) -> UserError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return UserError(
        f"{address}: cannot be fetched: {type(error).__name__}: {reason}\n"
        "Check the address and the connection, or download the folder and give its path."
    )
