"""The fuzzer's process, which its tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fuzz_worker import Worker


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    one = Worker()
    yield one
    one.close()
