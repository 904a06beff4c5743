"""Makes sample_data/beans.csv, measurements of beans that nobody ever held: python make_beans.py OUTPUT.

Three invented varieties. Length and width go together, the mass follows from both, and the color helps only to tell one
variety from the other two, so a single layer is good and two layers are better. A few cells are empty, as in any table.
"""

import sys
from pathlib import Path

import numpy as np

VARIETIES = {  # mean length and width in mm, chance of each color
    "Amber": (11.2, 7.4, {"brown": 0.7, "red": 0.3}),
    "Minster": (13.1, 7.9, {"brown": 0.3, "red": 0.3, "speckled": 0.4}),
    "Pilgrim": (12.3, 6.3, {"speckled": 0.6, "white": 0.4}),
}
EACH = 60  # beans of each variety
EMPTY = 9  # cells that are left empty


def table() -> str:
    draw = np.random.default_rng(1847)
    rows = []
    for variety, (length, width, colors) in VARIETIES.items():
        for _ in range(EACH):
            size = draw.normal(1.0, 0.06)
            long, wide = size * length + draw.normal(0.0, 0.35), size * width + draw.normal(0.0, 0.25)
            mass = 0.00042 * long * wide * wide * 1.6 + draw.normal(0.0, 0.012)
            color = draw.choice(list(colors), p=list(colors.values()))
            rows.append([f"{long:.1f}", f"{wide:.1f}", f"{mass:.3f}", str(color), variety])
    rows = [rows[i] for i in draw.permutation(len(rows))]
    for i in draw.choice(len(rows), EMPTY, replace=False):
        rows[i][draw.integers(0, 4)] = ""
    return "\n".join(",".join(row) for row in [["length_mm", "width_mm", "mass_g", "color", "variety"], *rows]) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8", newline="\n")
