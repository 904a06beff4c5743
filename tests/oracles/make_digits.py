"""Makes sample_data/digits.npz from scikit-learn's copy of the UCI digits: python make_digits.py OUTPUT.

The archive is written with fixed dates, so that making it again gives the same bytes wherever zlib is the same.
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
arrays = {"images": digits.images, "labels": digits.target}

with zipfile.ZipFile(Path(sys.argv[1]), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
    for name, array in arrays.items():
        small = np.ascontiguousarray(array, dtype=np.uint8)
        assert np.array_equal(small, array), "the digits are whole numbers from 0 to 16"
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, small, version=(1, 0), allow_pickle=False)
        archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED)
