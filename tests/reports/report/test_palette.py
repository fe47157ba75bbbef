"""Colours: readable on their background, and distinct for colour-blind readers.

[Machado2009] G. M. Machado, M. M. Oliveira, L. A. F. Fernandes. A physiologically-based model for
    simulation of color vision deficiency. IEEE TVCG 15(6), 2009. (Its matrices for dichromats.)
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.contrast import contrast, linear
from tunebox.reports.report.page import _THEME
from tunebox.reports.report.palette import BACKGROUND, COLOURS, SHAPES

VISION = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(light: NDArray[np.float64]) -> NDArray[np.float64]:
    xyz = np.clip(light, 0, 1) @ np.array(
        [[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]
    )
    x, y, z = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", BACKGROUND)
def test_marks_and_texts_can_be_read(theme: str) -> None:
    for colour in COLOURS[theme]:
        assert contrast(colour, BACKGROUND[theme]) >= 3  # WCAG 2 for pictures
    for name in ("ink", "muted"):
        for behind in (BACKGROUND[theme], _THEME[theme]["shade"]):
            assert contrast(_THEME[theme][name], behind) >= 4.5  # and for text
    assert contrast(COLOURS[theme][0], BACKGROUND[theme]) >= 4.5  # of links


@pytest.mark.parametrize("theme", BACKGROUND)
@pytest.mark.parametrize("vision", VISION)
def test_methods_can_be_told_apart(theme: str, vision: str) -> None:
    seen = [lab(np.array(VISION[vision]) @ linear(colour)) for colour in COLOURS[theme][:5]]
    for one, other in itertools.combinations(seen, 2):
        assert float(np.linalg.norm(one - other)) > 10  # 2.3 is just noticeable
    assert len(set(SHAPES)) == len(SHAPES) == len(COLOURS[theme])
