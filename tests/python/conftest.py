import importlib.util
import json
import os

import pytest

from vectors import FOLDER

# Nothing is downloaded: models are made from their configuration.
os.environ["HF_HUB_OFFLINE"] = "1"


# Training needs these, which are gigabytes. Without them its tests are left out, but never in CI.
MISSING = [name for name in ("torch", "trl", "peft") if importlib.util.find_spec(name) is None]
collect_ignore_glob = ["test_training*"] if MISSING and "CI" not in os.environ else []


def pytest_report_header():
    if collect_ignore_glob:
        return f"left out: {collect_ignore_glob[0]}, which needs {', '.join(MISSING)}"
    return None


@pytest.fixture
def read_vectors():
    return lambda name: json.loads((FOLDER / name).read_text())


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The folder of a tiny model and its tokenizer, to train from."""
    from tiny import saved

    return saved(tmp_path_factory.mktemp("start"))
