from trunkline_guardrails.config import GuardrailsConfig
from trunkline_kit.settings import Listen, Policy, Settings


def test_it_listens_where_the_file_says_or_where_it_is_told():
    settings = Settings(listen=Listen(grpc="127.0.0.1:7003"), policies={"p": Policy()})
    assert GuardrailsConfig.from_settings(settings).listen == "127.0.0.1:7003"
    told = GuardrailsConfig.from_settings(settings, listen="local:guardrails")
    assert (told.listen, told.policies) == ("local:guardrails", {"p": Policy()})
