import pytest

from hw.synth.libraries import liberty
from hw.synth.libraries.library import Library


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """The tests' own cache folder, so that they neither use nor fill the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("ASQ_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def mini(tmp_path_factory) -> Library:
    """The hand-written library of minilib."""
    import minilib

    path = tmp_path_factory.mktemp("mini") / "mini.lib"
    path.write_text(minilib.text())
    return liberty.read([path], "mini")
