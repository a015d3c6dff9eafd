"""The fuzzer's process, which its tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fuzz_worker import SECONDS, Worker


@pytest.fixture(scope="module")
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """Seeds have longer: no kernel may be compiled yet, and other tests run beside them."""
    one = Worker(SECONDS if request.module.__name__.endswith("test_fuzz") else 60.0)
    yield one
    one.close()
