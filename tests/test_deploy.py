"""The manifests in deploy/: what Kubernetes and KubeRay would refuse, and names that have to agree."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import ray
import yaml
from dagster_ray.kuberay import RayClusterSpec

from tests.servers import REPOSITORY

KUBERAY = REPOSITORY / "deploy" / "kuberay"
KUBERNETES = "1.34"
IMAGE = "registry.example.org/fraud-assets:0.1.0"


def manifests() -> dict[str, dict[str, Any]]:
    """Every object that `kubectl apply -k` would make from a file, by kind and name."""
    files = yaml.safe_load((KUBERAY / "kustomization.yaml").read_text())["resources"]
    parts = [part for file in files for part in yaml.safe_load_all((KUBERAY / file).read_text())]
    return {f"{part['kind']}/{part['metadata']['name']}": part for part in parts}


def pods() -> dict[str, dict[str, Any]]:
    """The pod template of each workload."""
    cluster = manifests()["RayCluster/fraud"]["spec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    found = {f"ray {i}": group["template"] for i, group in enumerate(groups)}
    found.update({name: part["spec"]["template"] for name, part in manifests().items() if part["kind"] == "Deployment"})
    return found


@pytest.mark.parametrize("name", [name for name in manifests() if not name.startswith("RayCluster")])
def test_kubernetes_takes_the_object(name: str) -> None:
    kubernetes_validate.validate(manifests()[name], KUBERNETES, strict=True)


@pytest.mark.parametrize("name", pods())
def test_kubernetes_takes_the_pod_and_it_is_confined(name: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pods()[name]["spec"]}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    for container in pod["spec"]["containers"]:
        assert container["image"] == IMAGE
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_kuberay_takes_the_cluster() -> None:
    spec = manifests()["RayCluster/fraud"]["spec"]
    own = {
        "ray_version": spec.pop("rayVersion"),
        "auth_options": spec.pop("authOptions"),
        "head_group_spec": spec.pop("headGroupSpec"),
        "worker_group_specs": spec.pop("workerGroupSpecs"),
    }
    assert spec == {}, "a field that nothing here validates"
    RayClusterSpec(**own)
    assert own["ray_version"] == ray.__version__, "of the lock file, from which the image is made"


def test_every_pod_has_the_settings_and_the_secrets() -> None:
    for pod in pods().values():
        for container in pod["spec"]["containers"]:
            names = [next(iter(source.values()))["name"] for source in container["envFrom"]]
            assert names == ["fraud-settings", "fraud-secrets"]


def test_dagster_talks_to_the_clusters_own_service_with_its_own_token() -> None:
    for name, part in manifests().items():
        if part["kind"] != "Deployment":
            continue
        (container,) = part["spec"]["template"]["spec"]["containers"]
        values = {variable["name"]: variable for variable in container["env"]}
        assert values["RAY_API_SERVER_ADDRESS"]["value"] == "http://fraud-head-svc:8265", name
        assert values["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "fraud", "key": "auth_token"}


def test_the_files_that_kustomize_reads_are_there() -> None:
    kustomization = yaml.safe_load((KUBERAY / "kustomization.yaml").read_text())
    generated = [file for each in kustomization["configMapGenerator"] for file in each.get("files", each.get("envs"))]
    for file in [*kustomization["resources"], *kustomization["configurations"], *generated]:
        assert Path(KUBERAY, file).is_file()
