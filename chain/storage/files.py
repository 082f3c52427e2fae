"""Files and folders whose names outlast a power cut.

A file's fsync makes its bytes durable and not its name: that takes one of the folder. What has the name of a
file that is to be replaced is therefore the old content or the new one, whole, whatever happens.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Makes durable what was created, renamed and removed in folder. OSError if it cannot."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that know no such thing
            raise
    finally:
        os.close(descriptor)


def make_folders(folder: Path) -> None:
    """Makes folder, and those above it, where they are missing; durably. OSError if it cannot."""
    if not folder.is_dir():
        make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def replace_file(path: Path, data: bytes, *, beside: str = ".new") -> None:
    """Puts data in the place of the file at path, whole or not at all; durable on return.

    beside: what the name of the file ends with that is written first and then renamed. OSError if it cannot.
    """
    fresh = path.with_name(path.name + beside)
    with open(fresh, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)
