from __future__ import annotations

import pytest

from tui.format import data_size, magnitude


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (999_950, "1.00 M"), (12_345_678, "12.3 M"), (596_049_920, "596 M"),
     (1_235_814_400, "1.24 B"), (70_553_706_496, "70.6 B"), (10**16, "10000 T")],
)  # fmt: skip
def test_magnitude(count: int, said: str) -> None:
    assert magnitude(count) == said


def test_data_size() -> None:
    assert data_size(1_192_099_840) == "1.19 GB"
    assert data_size(17) == "17 B"
