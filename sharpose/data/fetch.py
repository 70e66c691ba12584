"""Pictures from the network."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from sharpose.runtime.errors import InputError, first_line

MAX_DOWNLOAD, TIMEOUT_S = 200_000_000, 30


def fetch_picture(address: str) -> Path:
    """Return a picture from the network, under its own name in a folder that goes when Python ends.

    Raises InputError where it cannot be had.
    """
    if urlsplit(address).scheme not in ("http", "https"):
        raise InputError(f"{address}: pictures are fetched by http or https")
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as response:
            content = response.read(MAX_DOWNLOAD + 1)
    # an address that is none, a host that is not there, an answer that is no file
    except (OSError, ValueError) as error:
        raise InputError(f"{address}: cannot be fetched ({first_line(error)})") from error
    if len(content) > MAX_DOWNLOAD:
        raise InputError(f"{address}: more than {MAX_DOWNLOAD:,} bytes; fetch it yourself, and shrink it")
    folder = tempfile.mkdtemp(prefix="sharpose-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, Path(urlsplit(address).path).name or "picture")
    path.write_bytes(content)
    return path
