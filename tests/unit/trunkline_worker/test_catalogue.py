import re

from trunkline_worker.catalogue import CATALOGUE, find_model
from trunkline_worker.convert.precision import Precision


def test_every_model_is_pinned_and_licensed():
    for model in CATALOGUE:
        assert find_model(model.name) is model
        assert re.fullmatch(r"[0-9a-f]{64}", model.source.sha256)
        assert model.source.wheel.startswith(f"{model.source.package.replace('-', '_')}-{model.source.version}-")
        assert model.licence == "Apache-2.0"
        assert set(model.prepared_bytes) == set(Precision)
