import tempfile

import pytest

from trunkline_kit.errors import Unavailable
from trunkline_standalone.embedded.sockets import open_sockets
from trunkline_standalone.ledger_database import ledger_url


def test_the_database_is_the_files_else_the_environments_else_the_running_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = tmp_path / "trunkline.yaml"
    file.write_text('stores: {database: "env:DB"}\n')
    environment = {"DB": "postgresql://file", "TRUNKLINE_DATABASE_URL": "postgresql://environment"}
    home = tmp_path / "home"
    assert ledger_url(file, home, environment) == "postgresql://file"
    assert ledger_url(None, home, environment) == "postgresql://environment"
    with pytest.raises(Unavailable, match="no `trunkline up` runs"):
        ledger_url(None, home, {})
    with open_sockets(home, "") as folder:
        assert str(folder).replace("/", "%2F") in ledger_url(None, home, {}).replace("/", "%2F")
