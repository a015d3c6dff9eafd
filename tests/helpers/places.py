"""Where the tests find files: the project's root, the carried test data, and the originals beside the project."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared"
"""Not part of the project: a test that uses it is skipped where it is absent."""
