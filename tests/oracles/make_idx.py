"""Makes two files in MNIST's format (IDX) from sample_data/digits.npz: python make_idx.py FOLDER [SAMPLES].

The tests make them anew each time: the images are there already, and a second copy would only be larger.
"""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np

TYPES = {"|u1": 0x08, "|i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file with this array in it."""
    large = array.astype(array.dtype.newbyteorder(">"))
    head = struct.pack(">BBBB", 0, 0, TYPES[large.dtype.str], array.ndim)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + large.tobytes()


def digits() -> tuple[np.ndarray, np.ndarray]:
    """(images (1797, 8, 8) uint8 from 0 to 255 as in MNIST, labels (1797,) uint8)."""
    with np.load(Path(__file__).parents[2] / "sample_data" / "digits.npz") as file:
        return (file["images"].astype(np.uint16) * 255 // 16).astype(np.uint8), file["labels"]


def write(folder: Path, samples: int = 1797, packed: bool = True) -> tuple[str, str]:
    """Write images and labels into a folder; the names of the two files."""
    names = []
    for kind, array in zip(("images-idx3", "labels-idx1"), digits(), strict=True):
        name = f"{kind}-ubyte" + (".gz" if packed else "")
        content = idx(array[:samples])
        (folder / name).write_bytes(gzip.compress(content, mtime=0) if packed else content)
        names.append(name)
    return names[0], names[1]


if __name__ == "__main__":
    print(*write(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1797))
