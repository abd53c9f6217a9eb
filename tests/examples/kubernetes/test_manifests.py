"""The Kubernetes walk-through: each manifest fits the published schemas, and all fit one another."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "examples" / "kubernetes"
VERSION = kubernetes_validate.latest_version()
FILES = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
CLIENTS = ("receiver", "sender")

Manifest = dict[str, Any]


def documents(name: str) -> list[Manifest]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


MANIFESTS = [document for name in FILES for document in documents(name)]
WORKLOADS = [found for found in MANIFESTS if found["kind"] in ("Deployment", "Job")]


def named(kind: str, name: str) -> Manifest:
    return next(it for it in MANIFESTS if it["kind"] == kind and it["metadata"]["name"] == name)


def client(name: str) -> Manifest:
    return next(it for it in WORKLOADS if it["metadata"]["name"] == name)["spec"]["template"]["spec"]


def options(name: str) -> dict[str, str]:
    args = client(name)["containers"][0]["args"]
    return dict(zip(args[::2], args[1::2], strict=True))


def label(manifest: Manifest) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


@pytest.mark.parametrize("manifest", MANIFESTS, ids=label)
def test_manifest_fits_the_schema(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_the_validator_finds_mistakes() -> None:
    wrong = copy.deepcopy(named("Deployment", "callboard-node"))
    wrong["spec"]["template"]["spec"]["containers"][0]["prots"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_every_file_is_applied() -> None:
    assert sorted([*FILES, "kustomization.yaml"]) == sorted(path.name for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("workload", WORKLOADS, ids=label)
def test_workload_is_confined(workload: Manifest) -> None:
    """What the namespace's label (`restricted`) demands of each container."""
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        confined = container["securityContext"]
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["readOnlyRootFilesystem"]
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert {"requests", "limits"} <= set(container["resources"])


@pytest.mark.parametrize("workload", WORKLOADS, ids=label)
def test_workload_finds_what_it_refers_to(workload: Manifest) -> None:
    template = workload["spec"]["template"]
    pod = template["spec"]
    assert named("ServiceAccount", pod["serviceAccountName"])
    if selector := workload["spec"].get("selector"):
        assert selector["matchLabels"].items() <= template["metadata"]["labels"].items()
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert {mount["name"] for mount in container.get("volumeMounts", [])} <= set(volumes)
    for volume in volumes.values():
        if "configMap" in volume:
            assert named("ConfigMap", volume["configMap"]["name"])


def test_each_workload_has_an_identity_of_its_own() -> None:
    accounts = [workload["spec"]["template"]["spec"]["serviceAccountName"] for workload in WORKLOADS]
    assert len(set(accounts)) == len(accounts) == 3


def test_service_leads_to_the_node() -> None:
    service, node = named("Service", "callboard-node"), named("Deployment", "callboard-node")
    template = node["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    (port,) = service["spec"]["ports"]
    (container,) = template["spec"]["containers"]
    assert {"name": port["targetPort"], "containerPort": port["port"]} in container["ports"]
    assert f"0.0.0.0:{port['port']}" in container["args"]


@pytest.mark.parametrize("name", CLIENTS)
def test_client_reaches_the_service(name: str) -> None:
    (port,) = named("Service", "callboard-node")["spec"]["ports"]
    config = json.loads(options(name)["--slim"])
    assert config["endpoint"] == f"http://callboard-node:{port['port']}"
    assert config["tls"]["insecure"] is True


def test_clients_are_one_anothers_peers() -> None:
    assert options("sender")["--remote"] == options("receiver")["--local"]
    assert options("sender")["--local"] != options("receiver")["--local"]


@pytest.mark.parametrize("name", CLIENTS)
def test_client_reads_what_the_sidecar_writes(name: str) -> None:
    config = named("ConfigMap", "spiffe-helper")["data"]["helper.conf"]
    settings = dict(re.findall(r'(\w+) = "([^"]*)"', config))
    folder = settings["cert_dir"]
    given = options(name)
    assert given["--jwt"] == f"{folder}/{settings['jwt_svid_file_name']}"
    assert given["--spire-trust-bundle"] == f"{folder}/{settings['jwt_bundle_file_name']}"
    assert given["--audience"] == settings["jwt_audience"]
    pod = client(name)
    (helper,), (program,) = pod["initContainers"], pod["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in helper["volumeMounts"]}
    assert mounts[folder] == next(m["name"] for m in program["volumeMounts"] if m["mountPath"] == folder)
    assert str(Path(settings["agent_address"]).parent) in mounts
    assert helper["args"][-1].startswith("/etc/spiffe-helper/")
    assert helper["restartPolicy"] == "Always"
    assert {helper["startupProbe"]["httpGet"]["port"]} == {int(re.search(r"bind_port = (\d+)", config)[1])}


def test_image_is_ours_in_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {
        container["image"]
        for workload in WORKLOADS
        for container in workload["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"callboard:{version}"}
    assert f"callboard:{version}" in (FOLDER / "README.md").read_text()
