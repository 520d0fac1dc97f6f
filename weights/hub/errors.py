"""What goes wrong on the way to the hub, as one sentence. Must not know what was to be fetched but for its name."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import get_token
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled

from core.errors import DownloadFailed, LogitscopeError, ModelNotFound

_GOES_ON = "What has arrived is kept: fetching it again goes on from there."


@contextmanager
def explained(name: str, endpoint: str) -> Iterator[None]:
    """Errors of the client, the network and the disk become ours.

    Raises:
        ModelNotFound, DownloadFailed: instead of what was raised inside.
    """
    try:
        yield
    except LogitscopeError:
        raise
    except OfflineModeIsEnabled as error:
        raise DownloadFailed("HF_HUB_OFFLINE is set, so nothing is fetched.", "Unset it and try again.") from error
    except HfHubHTTPError as error:
        raise _refused(error, name, endpoint) from error
    except httpx2.TransportError as error:
        raise _unreachable(error, endpoint) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise DownloadFailed(f"{endpoint} does not answer like a hub: {error}.", "Is HF_ENDPOINT right?") from error
    except OSError as error:
        raise _disk(error) from error


def _refused(error: HfHubHTTPError, name: str, endpoint: str) -> LogitscopeError:
    status = error.response.status_code
    token = get_token()
    if isinstance(error, GatedRepoError) or status == 403:
        page = f"{endpoint}/{name}"
        if token is None:
            hint = f"Accept its terms on {page}, then set HF_TOKEN to a token from {endpoint}/settings/tokens."
            return DownloadFailed(f"{name} is gated: only who has accepted its terms may fetch it.", hint)
        return DownloadFailed(
            f"{name} is gated, and the account of this HF_TOKEN may not fetch it.",
            f"Accept its terms on {page}, or give the token the right to read gated models.",
        )
    if isinstance(error, EntryNotFoundError):
        url = error.response.url.path
        return ModelNotFound(f"{endpoint} has lost a file of {name}: {url}.", "Try again: it may have been replaced.")
    if status == 401 and token is not None:
        return DownloadFailed(
            f"{endpoint} does not let this HF_TOKEN have {name} (401): the token is wrong, or the model is not there.",
            f"Check the name, and the token on {endpoint}/settings/tokens.",
        )
    if status in (401, 404):  # the hub answers 401 for what is not there, so as not to tell what is private
        return ModelNotFound(
            f"There is no model {name} on {endpoint} (or it is private).",
            "Check the spelling; for a private one set HF_TOKEN.",
        )
    if status == 429:
        return DownloadFailed(f"{endpoint} has had too many requests from here (429).", f"Wait. {_GOES_ON}")
    if status >= 500:
        return DownloadFailed(f"{endpoint} has a fault of its own ({status}).", f"Try again later. {_GOES_ON}")
    return DownloadFailed(f"{endpoint} refuses {name} with {status}.", "")


def _unreachable(error: httpx2.TransportError, endpoint: str) -> DownloadFailed:
    hint = f"Check the network, HTTPS_PROXY and HF_ENDPOINT. {_GOES_ON}"
    if isinstance(error, httpx2.TimeoutException):
        return DownloadFailed(f"{endpoint} did not answer in time.", hint)
    if isinstance(error, httpx2.ConnectError | httpx2.ProxyError):
        return DownloadFailed(f"{endpoint} cannot be reached: {error}.", hint)
    return DownloadFailed(f"The connection to {endpoint} broke off, again and again: {error}.", hint)


def _disk(error: OSError) -> DownloadFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DownloadFailed("The disk is full.", f"Make room, or choose another with LOGITSCOPE_DATA. {_GOES_ON}")
    where = error.filename or "The folder for downloads"
    return DownloadFailed(f"{where} cannot be written: {error.strerror or error}.", "Choose another: LOGITSCOPE_DATA.")
