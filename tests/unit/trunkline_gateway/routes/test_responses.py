"""Where responses are served."""

from trunkline_gateway.routes.responses import response_routes


def test_there_is_one_handler_for_each_thing_that_can_be_done():
    found = {
        (method, path)
        for one in response_routes(None)
        for path in one.paths
        for method in one.http_methods
        if method not in ("HEAD", "OPTIONS")
    }
    assert found == {
        ("POST", "/v1/responses"),
        ("GET", "/v1/responses/{response_id:str}"),
        ("DELETE", "/v1/responses/{response_id:str}"),
        ("GET", "/v1/responses/{response_id:str}/input_items"),
    }
