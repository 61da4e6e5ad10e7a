"""The cluster files, against Ray's own checks of them, what the code makes of them, and what they name."""

import copy
import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from jsonschema import ValidationError

from cluster.cost import KONIQ_PHOTOS, MEASURED, hours, rate_of_a_core
from halfiqa_ray.config import ComputeSettings
from halfiqa_ray.runtime import capacity
from halfiqa_ray.runtime.capacity import HEAD, with_node_types
from halfiqa_ray.runtime.resources import plan_scorers

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
CLOUDS = ("aws", "gcp")
# Fields of RayJob and RayCluster: ray-operator/apis/ray/v1/{rayjob,raycluster}_types.go of KubeRay 1.5.
JOB = {
    *("entrypoint", "runtimeEnvYAML", "submissionMode", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished"),
    *("backoffLimit", "activeDeadlineSeconds", "preRunningDeadlineSeconds", "suspend", "rayClusterSpec", "metadata"),
}
RAY_CLUSTER = {
    *("rayVersion", "enableInTreeAutoscaling", "autoscalerOptions", "authOptions", "headGroupSpec", "workerGroupSpecs"),
}
HEAD_GROUP = {"serviceType", "rayStartParams", "template"}
WORKER_GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def read(name):
    return yaml.safe_load((CLUSTER / name).read_text())


def prepared(name):
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(copy.deepcopy(read(name)))
    validate_config(config)
    return config


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml", "local.yaml"])
def test_ray_accepts_the_configuration(name):
    config = prepared(name)
    for node in ("head", "worker"):
        starts = [line for line in config[f"{node}_start_ray_commands"] if "ray start" in line]
        assert len(starts) == 1
        assert "RAY_AUTH_MODE=token" in starts[0]
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    assert "0.0.0.0" not in (CLUSTER / name).read_text()
    assert any(source == "~/.ray/auth_token" for source in config["file_mounts"].values())


def test_ray_refuses_what_is_wrong():
    """The check is not one that accepts everything."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    for change in ({"unknown": 1}, {"head_node_type": "nobody"}, {"available_node_types": {"x": {"resources": 1}}}):
        with pytest.raises((ValueError, ValidationError)):
            validate_config(prepare_config(copy.deepcopy(read("aws.yaml")) | change))


@pytest.mark.parametrize("name", CLOUDS)
def test_the_head_only_drives_and_the_rest_comes_when_asked(name):
    config = prepared(f"{name}.yaml")
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"] == {"CPU": 0}
    assert all(kind.get("min_workers", 0) == 0 for kind in types.values())
    there = with_node_types(({HEAD: 1.0},), config)
    gpus = plan_scorers(ComputeSettings(device="cuda"), 10_000, there)
    assert (gpus.first, gpus.actors) == (1, types["scorers"]["max_workers"])
    assert plan_scorers(ComputeSettings(device="cpu"), 10_000, there).actors > gpus.actors


def test_workers_are_spot_and_the_head_is_not():
    aws, gcp = (prepared(f"{name}.yaml")["available_node_types"] for name in CLOUDS)
    for pool in ("readers", "scorers"):
        assert aws[pool]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert gcp[pool]["node_config"]["scheduling"][0]["provisioningModel"] == "SPOT"
        assert aws[pool]["labels"] == gcp[pool]["labels"] == {"pool": pool}
    assert "InstanceMarketOptions" not in aws["head"]["node_config"]
    assert "scheduling" not in gcp["head"]["node_config"]


def ray_cluster_of_the_job():
    job = read("kuberay-rayjob.yaml")
    return {"metadata": {"name": "halfiqa", "namespace": "default"}, "spec": job["spec"]["rayClusterSpec"]}


def test_the_rayjob_has_the_fields_that_kuberay_knows():
    job = read("kuberay-rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    assert spec.keys() <= JOB
    assert cluster.keys() <= RAY_CLUSTER
    assert cluster["headGroupSpec"].keys() <= HEAD_GROUP
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == pinned("ray")
    for group in cluster["workerGroupSpecs"]:
        assert group.keys() <= WORKER_GROUP
        assert group["minReplicas"] == 0
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        for container in group["template"]["spec"]["containers"]:
            assert container["securityContext"]["runAsNonRoot"] is True
            assert "env" not in container  # credentials come from a secret or the service account
    script = re.search(r"python (\S+)", spec["entrypoint"])[1]
    assert (ROOT / script).exists()
    assert all((ROOT / file).exists() for file in re.findall(r"--config (\S+)", spec["entrypoint"]))


def test_rays_own_autoscaler_reads_the_rayjob_and_so_do_we(monkeypatch, tmp_path):
    """What KubeRay's autoscaler derives from the cluster is what the job plans with."""
    from ray.autoscaler._private.kuberay import node_provider

    (tmp_path / "namespace").write_text("default\n")
    monkeypatch.setattr(capacity, "SERVICE_ACCOUNT", str(tmp_path))
    monkeypatch.setenv("RAY_CLUSTER_NAME", "halfiqa")
    asked = []

    def get(self, path):
        asked.append((self._namespace, path))
        return ray_cluster_of_the_job()

    monkeypatch.setattr(node_provider.KubernetesHttpApiClient, "get", get)
    found = capacity.autoscaler_configuration("127.0.0.1:6379")
    assert asked == [("default", "rayclusters/halfiqa")]
    there = with_node_types(({HEAD: 1.0},), found)
    assert {kind.name: (kind.resources["CPU"], kind.resources.get("GPU", 0), kind.most) for kind in there.types} == {
        "readers": (8, 0, 4),
        "scorers": (7, 1, 8),
    }
    assert plan_scorers(ComputeSettings(device="auto"), 10_000, there).actors == 8


def test_an_autoscaler_that_refuses_to_tell_is_named(monkeypatch, tmp_path):
    from ray.autoscaler._private.kuberay import node_provider

    def refuse(self, path):
        raise PermissionError("403 Forbidden")

    (tmp_path / "namespace").write_text("default")
    monkeypatch.setattr(capacity, "SERVICE_ACCOUNT", str(tmp_path))
    monkeypatch.setenv("RAY_CLUSTER_NAME", "halfiqa")
    monkeypatch.setattr(node_provider.KubernetesHttpApiClient, "get", refuse)
    assert capacity.autoscaler_configuration("127.0.0.1:6379") == "PermissionError: 403 Forbidden"


def test_the_runtime_env_brings_every_dependency_but_ray():
    from ray.runtime_env import RuntimeEnv

    brought = read("runtime_env.yaml")
    RuntimeEnv(**brought)
    constraint, *packages = brought["pip"]
    assert constraint.endswith("/constraints.txt")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[\w.-]+", package)[0] for package in project}
    extras = [need for need in requires("ray") or [] if re.search(r"extra == ['\"](data|train|tune)['\"]", need)]
    names |= {re.match(r"[\w.-]+", need)[0] for need in extras}
    assert {re.match(r"[\w.-]+", package)[0] for package in packages} == names - {"ray"}
    assert all((ROOT / each).exists() for each in brought["excludes"])


def test_the_image_is_made_of_what_is_there():
    lines = re.sub(r"\\\n\s*", " ", (CLUSTER / "Dockerfile").read_text()).splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert "constraints.txt" in copied
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert set(copied) == set(allowed)
    assert all((ROOT / path).exists() for path in copied)
    [install] = [line for line in lines if "--requirement" in line]
    assert "--constraint constraints.txt" in install
    assert next(line for line in lines if line.startswith(("USER", "ENV", "CMD"))) == "USER 1000"
    assert not [line for line in lines if re.search(r"secret|password|AWS_|auth_token", line, re.I) and line[0] != "#"]


def test_no_file_holds_a_key():
    for file in CLUSTER.iterdir():
        if file.is_file():
            assert not re.search(r"AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY|[0-9a-f]{64}", file.read_text()), file


def test_cost_is_computed_from_the_measured_rate():
    core = rate_of_a_core(MEASURED.read_text())
    readme = (ROOT / "cluster" / "README.md").read_text()
    assert f"the measured rate of {core:.2f} photos a second and core" in readme
    for nodes in (1, 4, 8):
        took = hours(KONIQ_PHOTOS, core * 6, nodes, 5)
        assert f"| {nodes} | {took:.2f} | {took * nodes:.2f} |" in readme
    assert rate_of_a_core("x\nbackbone and all subsets: 2.00 photos a second with 4 threads.") == 0.5
    assert hours(7200, 2.0, 1, 0) == 1.0
    assert hours(7200, 2.0, 4, 30) == 0.75
    with pytest.raises(ValueError, match=r"benchmarks\.subset_scoring"):
        rate_of_a_core("")


def pinned(package):
    found = re.search(rf"^{package}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    return found[1]
