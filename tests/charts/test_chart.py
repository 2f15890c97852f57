"""What the chart renders: valid for Kubernetes, restricted, and of one piece."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from trunkline_kit.config import load
from trunkline_kit.config_check import Level, check

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "trunkline"
KUBERNETES = "1.34"
OPENAI = {
    "config": {
        "providers": {"openai": {"kind": "openai", "api_key": "env:OPENAI_API_KEY"}},
        "models": {"gpt-4o-mini": {"deployments": [{"provider": "openai", "model": "gpt-4o-mini"}]}},
        "server": {"body_limit_bytes": 20_000_000, "drain_grace_s": 12.5},
        "teams": {"search": {"org": "acme"}},
        "keys": [{"id": "search", "team": "search", "secret": "file:/etc/trunkline-secrets/keys/search"}],
    },
    "gateway": {
        "secretEnv": {"OPENAI_API_KEY": {"name": "providers", "key": "openai"}},
        "secretFiles": [{"name": "keys", "mountPath": "/etc/trunkline-secrets/keys"}],
        "podAnnotations": {"team": "platform"},
    },
    "apiKey": {"existingSecret": "first-key"},
}
NO_ENCODER = {"config": {"models": {"all-minilm-l6-v2": None}}, "workers": {"all-minilm-l6-v2": None}}
OWN_MODEL = {
    **NO_ENCODER,
    "workers": {
        "all-minilm-l6-v2": None,
        "smollm2-135m-instruct": {
            "settings": {"model": "path:/var/lib/trunkline/mine"},
            "storage": {"existingClaim": "models"},
        },
    },
}
VALUE_SETS = {
    "default": {},
    "dev": CHART / "profiles" / "dev.yaml",
    "gpu": CHART / "profiles" / "gpu.yaml",
    "openai": OPENAI,
    "watching": {"gateway": {"discovery": "endpointSlices"}},
    "minimal": {**NO_ENCODER, "networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
    "autoscale": {"gateway": {"autoscaling": {"enabled": True}, "service": {"type": "LoadBalancer", "port": 8000}}},
    "closed": {"networkPolicy": {"gatewayFrom": [{"podSelector": {}}], "metricsFrom": [], "modelDownloads": False}},
    "own-model": OWN_MODEL,
    "monitored": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "pinned": {
        "fullnameOverride": "llm",
        "images": {"slim": {"repository": "registry.example/t", "digest": f"sha256:{'a' * 64}"}},
        "imagePullSecrets": [{"name": "pull"}],
        "router": {
            "nodeSelector": {"pool": "cpu"},
            "tolerations": [{"operator": "Exists"}],
            "priorityClassName": "high",
        },
    },
}


@pytest.fixture(params=VALUE_SETS, scope="module")
def documents(request, helm):
    return helm.render(VALUE_SETS[request.param])


def of_kind(documents, kind):
    return [document for document in documents if document["kind"] == kind]


def named(documents, kind, name):
    return next(document for document in of_kind(documents, kind) if document["metadata"]["name"] == name)


def pods(documents):
    return [
        (document["metadata"]["name"], document["spec"]["template"]) for document in of_kind(documents, "Deployment")
    ]


def containers(pod):
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def rendered_settings(documents, folder):
    """The configuration in the ConfigMap, as a service would load it."""
    (config,) = of_kind(documents, "ConfigMap")
    file = folder / "trunkline.yaml"
    file.write_text(config["data"]["trunkline.yaml"])
    return load(file).settings


def test_helm_finds_nothing_to_say(helm):
    answer = helm.run("lint", "--strict", CHART)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_kubernetes_accepts_every_document(documents):
    known = [document for document in documents if document["kind"] != "ServiceMonitor"]
    for document in known:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    assert len(known) >= 14


def test_no_two_documents_have_one_name(documents):
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 for _, name in names)


def test_pods_hold_to_the_restricted_standard(documents):
    for name, pod in pods(documents):
        spec = pod["spec"]
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == 65532
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        watches = name.endswith("-gateway") and bool(of_kind(documents, "Role"))
        assert spec["automountServiceAccountToken"] is watches
        assert all({"emptyDir", "configMap", "secret", "persistentVolumeClaim"} & set(one) for one in spec["volumes"])
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]


def test_every_mount_has_its_volume(documents):
    for _, pod in pods(documents):
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        mounted = [mount for container in containers(pod) for mount in container["volumeMounts"]]
        assert {mount["name"] for mount in mounted} == volumes
        assert not any("subPath" in mount for mount in mounted), "a subPath mount never changes"


def test_selectors_fit_the_pods(documents):
    templates = [pod["metadata"]["labels"] for _, pod in pods(documents)]
    for document in of_kind(documents, "Deployment"):
        spec = document["spec"]
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    selectors = [document["spec"]["selector"] for document in of_kind(documents, "Service")]
    selectors += [document["spec"]["selector"]["matchLabels"] for document in of_kind(documents, "PodDisruptionBudget")]
    for selector in selectors:
        assert sum(selector.items() <= labels.items() for labels in templates) == 1, selector


def test_ports_of_services_and_probes_exist(documents):
    by_component = {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for _, pod in pods(documents)}
    for service in of_kind(documents, "Service"):
        pod = by_component[service["spec"]["selector"]["app.kubernetes.io/component"]]
        ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for name, pod in by_component.items():
        container = pod["spec"]["containers"][0]
        numbers = {port["containerPort"] for port in container["ports"]}
        for probe in (container[kind] for kind in ("startupProbe", "readinessProbe", "livenessProbe")):
            assert "httpGet" in probe if name == "gateway" else probe["grpc"]["port"] in numbers


def test_grpc_services_are_headless(documents):
    for service in of_kind(documents, "Service"):
        if not service["metadata"]["name"].endswith("-gateway"):
            assert service["spec"]["clusterIP"] == "None"


def test_nobody_is_killed_while_draining(documents, tmp_path):
    drain_s = rendered_settings(documents, tmp_path).server.drain_grace_s
    for _, pod in pods(documents):
        sleep_s = pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["spec"]["terminationGracePeriodSeconds"] > sleep_s + drain_s


def test_the_configuration_is_one_that_services_start_with(documents, tmp_path):
    settings = rendered_settings(documents, tmp_path)
    assert [str(finding) for finding in check(settings) if finding.level is Level.ERROR] == []
    assert settings.listen.grpc == "0.0.0.0:9090"


def test_every_address_in_the_configuration_is_a_service(documents, tmp_path):
    settings = rendered_settings(documents, tmp_path)
    hosts = {f"{document['metadata']['name']}.ai.svc.cluster.local" for document in of_kind(documents, "Service")}
    services = settings.services
    targets = {services.router, services.cache, services.guardrails, services.sre}
    # A Service that is watched has the name that would be looked up.
    local = settings.providers["local"].target
    local = re.sub(r"^k8s:///ai/([^:]+):grpc$", r"dns:///\1.ai.svc.cluster.local:9090", local)
    deployments = [one for model in settings.models.values() for one in model.deployments]
    targets |= {local.replace("{model}", one.model) for one in deployments if one.provider == "local"}
    assert {target.removeprefix("dns:///").removesuffix(":9090") for target in targets} <= hosts


def test_commands_are_ones_the_program_has(documents, tmp_path):
    settings = rendered_settings(documents, tmp_path)
    for name, pod in pods(documents):
        args = pod["spec"]["containers"][0]["args"]
        assert args[-2:] == ["--config", "/etc/trunkline/trunkline.yaml"]
        if args[0] == "worker":
            assert args[1:3] == ["--worker", name.partition("-worker-")[2]]
            assert args[2] in settings.workers
        else:
            assert name.endswith(f"-{args[0]}")


def test_budgets_scalers_and_monitors_have_targets(documents):
    names = {name for name, _ in pods(documents)}
    for scaler in of_kind(documents, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] in names
        assert "replicas" not in named(documents, "Deployment", scaler["spec"]["scaleTargetRef"]["name"])["spec"]
    for monitor in of_kind(documents, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        assert all(wanted <= service["metadata"]["labels"].items() for service in of_kind(documents, "Service"))
    for document in of_kind(documents, "PodDisruptionBudget"):
        assert document["spec"]["maxUnavailable"] == 1


def test_secrets_are_references(helm, tmp_path):
    documents = helm.render(OPENAI)
    assert of_kind(documents, "Secret") == []
    (gateway,) = named(documents, "Deployment", "demo-trunkline-gateway")["spec"]["template"]["spec"]["containers"]
    sources = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in gateway["env"] if "valueFrom" in one}
    assert sources == {
        "OPENAI_API_KEY": {"name": "providers", "key": "openai"},
        "TRUNKLINE_API_KEY": {"name": "first-key", "key": "api-key"},
    }
    settings = rendered_settings(documents, tmp_path)
    assert [key.secret for key in settings.keys] == ["env:TRUNKLINE_API_KEY", "file:/etc/trunkline-secrets/keys/search"]
    assert settings.server.body_limit_bytes == 20_000_000
    assert {"local", "openai"} <= set(settings.providers)
    router = named(documents, "Deployment", "demo-trunkline-router")["spec"]["template"]["spec"]["containers"][0]
    assert not any("valueFrom" in one for one in router["env"])


def test_a_gpu_worker_gets_its_image_device_and_place(helm, tmp_path):
    documents = helm.render(VALUE_SETS["gpu"])
    spec = named(documents, "Deployment", "demo-trunkline-worker-smollm2-135m-instruct")["spec"]["template"]["spec"]
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in spec["initContainers"][0]["resources"]["limits"]
    assert spec["containers"][0]["image"] == "trunkline-ml-gpu:0.1.0"
    assert spec["initContainers"][0]["args"][-1] == "f16"
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    worker = rendered_settings(documents, tmp_path).workers["smollm2-135m-instruct"]
    assert (worker.device, worker.variant, worker.slots) == ("cuda", "f16", 32)
    assert rendered_settings(documents, tmp_path).workers["all-minilm-l6-v2"].device == "cpu"


@pytest.mark.parametrize(
    ("settings", "asked"),
    [({}, []), ({"variant": "q8"}, ["--variant", "q8"]), ({"device": "cuda"}, ["--variant", "f16"])],
)
def test_a_model_is_prepared_in_the_variant_that_its_worker_opens(helm, settings, asked):
    documents = helm.render({"workers": {"all-minilm-l6-v2": {"settings": settings}}})
    spec = named(documents, "Deployment", "demo-trunkline-worker-all-minilm-l6-v2")["spec"]["template"]["spec"]
    assert spec["initContainers"][0]["args"] == ["models", "prepare", "all-minilm-l6-v2", *asked]


def test_a_model_of_ones_own_is_not_downloaded(helm):
    documents = helm.render(OWN_MODEL)
    spec = named(documents, "Deployment", "demo-trunkline-worker-smollm2-135m-instruct")["spec"]["template"]["spec"]
    assert "initContainers" not in spec
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "models"}} in spec["volumes"]


def test_the_gateway_may_read_endpoint_slices_and_nothing_else(helm, tmp_path):
    documents = helm.render(VALUE_SETS["watching"])
    name = "demo-trunkline-gateway"
    (role,), (binding,) = of_kind(documents, "Role"), of_kind(documents, "RoleBinding")
    assert role["rules"] == [
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "ai"}]
    accounts = {pod_name: pod["spec"]["serviceAccountName"] for pod_name, pod in pods(documents)}
    assert [pod_name for pod_name, account in accounts.items() if account == name] == [name]
    assert set(accounts.values()) <= {one["metadata"]["name"] for one in of_kind(documents, "ServiceAccount")}
    target = rendered_settings(documents, tmp_path).providers["local"].target
    assert target == "k8s:///ai/demo-trunkline-worker-{model}:grpc"
    assert not of_kind(helm.render({}), "Role"), "nobody has rights who does not need them"


def test_a_change_of_configuration_rolls_workers_only_and_only_for_their_own_entry(helm):
    def templates(values):
        return dict(pods(helm.render(values)))

    before = templates({})
    assert templates({"config": {"telemetry": {"log_level": "debug"}}}) == before
    after = templates({"workers": {"smollm2-135m-instruct": {"settings": {"slots": 4}}}})
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"demo-trunkline-worker-smollm2-135m-instruct"}


def test_gateways_are_told_how_many_share_a_limit(helm, tmp_path):
    def told(values):
        return rendered_settings(helm.render(values), tmp_path).server

    assert told({"gateway": {"replicas": 5}}).gateways == 5
    assert told({"gateway": {"autoscaling": {"enabled": True, "minReplicas": 3}}}).gateways == 3
    assert told({"config": {"server": {"gateways": 7, "drain_grace_s": 9}}}).gateways == 7
    assert told({"config": {"server": {"drain_grace_s": 9}}}).drain_grace_s == 9


def test_notes_say_what_is_missing_without_stores(helm):
    answer = helm.run("install", "demo", CHART, "--dry-run=client", "--disable-openapi-validation")
    assert "config.stores.redis" in answer.stdout
    assert "config.stores.database" in answer.stdout


def test_notes_tell_how_to_get_a_key(helm):
    assert helm.template({"apiKey": {"existingSecret": "first-key"}}).returncode == 0
    answer = helm.run("install", "demo", CHART, "--dry-run=client", "--disable-openapi-validation")
    assert "No caller has a key yet" in answer.stdout, answer.stderr


def test_values_in_the_profiles_are_yaml():
    for file in (CHART / "profiles").glob("*.yaml"):
        assert isinstance(yaml.safe_load(file.read_text()), dict)
