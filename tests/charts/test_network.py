"""The network policies: nothing but the edges of the architecture."""

import pytest


@pytest.fixture(scope="module")
def policies(helm):
    documents = helm.render({})
    return {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "NetworkPolicy"}


@pytest.fixture(scope="module")
def labels(helm):
    """Of the pods, by component."""
    templates = [d["spec"]["template"]["metadata"]["labels"] for d in helm.render({}) if d["kind"] == "Deployment"]
    return {one["app.kubernetes.io/component"]: one for one in templates}


def selects(selector, labels):
    return selector.get("matchLabels", {}).items() <= labels.items()


def allowed(policies, labels, source, target, port):
    """Whether a pod of `source` may open `port` (a name) on a pod of `target`."""
    number = {"http": 8080, "grpc": 9090, "metrics": 9464}[port]

    def rules(component, direction):
        chosen = [spec for spec in policies.values() if selects(spec["podSelector"], labels[component])]
        assert any(direction.capitalize() in spec["policyTypes"] for spec in chosen), "not isolated"
        return [rule for spec in chosen for rule in spec.get(direction, [])]

    def fits(rule, peers, other):
        ports = {one["port"] for one in rule.get("ports", [])}
        if ports and not ports & {port, number}:
            return False
        pods = [peer["podSelector"] for peer in rule.get(peers, []) if "podSelector" in peer]
        return peers not in rule or any(selects(pod, labels[other]) for pod in pods)

    return any(fits(rule, "from", source) for rule in rules(target, "ingress")) and any(
        fits(rule, "to", target) for rule in rules(source, "egress")
    )


def test_every_pod_is_isolated_both_ways(policies, labels):
    default = policies["demo-trunkline-default"]
    assert default["policyTypes"] == ["Ingress", "Egress"]
    assert all(selects(default["podSelector"], one) for one in labels.values())


def test_the_gateway_reaches_everybody_it_calls(policies, labels):
    for component in labels:
        if component != "gateway":
            assert allowed(policies, labels, "gateway", component, "grpc"), component


def test_everybody_sends_spans_to_sre(policies, labels):
    for component in labels:
        assert allowed(policies, labels, component, "sre", "grpc"), component


@pytest.mark.parametrize(
    ("source", "target"), [("router", "cache"), ("cache", "worker-all-minilm-l6-v2"), ("sre", "guardrails")]
)
def test_no_other_edge_exists(policies, labels, source, target):
    assert not allowed(policies, labels, source, target, "grpc")


def test_nobody_inside_calls_the_gateways_metrics(policies, labels):
    assert not allowed(policies, labels, "router", "gateway", "metrics")


def test_a_gateway_that_watches_reaches_the_api_server(helm):
    documents = helm.render({"gateway": {"discovery": "endpointSlices"}})
    policies = [document for document in documents if document["kind"] == "NetworkPolicy"]
    (spec,) = [one["spec"] for one in policies if one["metadata"]["name"] == "demo-trunkline-gateway"]
    assert {"ports": [{"port": 443}, {"port": 6443}]} in spec["egress"]


def test_only_workers_and_the_gateway_reach_outside(policies):
    def reaches_443(spec):
        return any({"port": 443} in rule.get("ports", []) and "to" not in rule for rule in spec.get("egress", []))

    assert {name.removeprefix("demo-trunkline-") for name, spec in policies.items() if reaches_443(spec)} == {
        "gateway",
        "worker-all-minilm-l6-v2",
        "worker-smollm2-135m-instruct",
    }
