from __future__ import annotations

import pytest

from .tiny import write_data


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of a tiny text and a tiny table of pairs."""
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def one_thread():
    """Runs set the number of threads for the whole process: give it back."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
