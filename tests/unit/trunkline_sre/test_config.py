from trunkline_kit.settings import Listen, Settings, Telemetry
from trunkline_sre.config import SreConfig


def test_the_file_says_where_it_listens_and_how_much_it_keeps():
    settings = Settings(listen=Listen(grpc="127.0.0.1:7004"), telemetry=Telemetry(kept_traces=7))
    config = SreConfig.from_settings(settings)
    assert (config.listen, config.bounds.traces_limit) == ("127.0.0.1:7004", 7)
    assert SreConfig.from_settings(settings, listen="local:sre").listen == "local:sre"
