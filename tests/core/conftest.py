"""What several tests of the C library ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.core.support.native_models import using


@pytest.fixture(params=("avx512", "avx2", "dotprod", "neon", "generic"))
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    """The instructions that the library uses."""
    yield from using(request.param)
