import json

import pytest

from vectors import FOLDER


@pytest.fixture
def read_vectors():
    return lambda name: json.loads((FOLDER / name).read_text())
