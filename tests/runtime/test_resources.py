"""What a cluster can hold now and later, and the scoring actors that are planned for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfiqa_ray.config import ComputeSettings
from halfiqa_ray.runtime.capacity import HEAD, Capacity, NodeType, copies, with_node_types
from halfiqa_ray.runtime.resources import check_room, plan_scorers

LAPTOP = Capacity(({"CPU": 8.0, HEAD: 1.0},))
GPU_TYPE = NodeType("gpu", {"CPU": 8, "GPU": 1}, 8)
# A head that works not, and node types of which none runs yet.
EMPTY_CLUSTER = Capacity(({HEAD: 1.0},), (GPU_TYPE, NodeType("cpu", {"CPU": 16}, 4)), 12)


def plan(there, passes=100_000, **compute):
    return plan_scorers(ComputeSettings(**compute), passes, there)


@pytest.mark.parametrize(
    ("node", "share", "fits"),
    [
        ({"CPU": 4.0}, {"CPU": 1}, 4),
        ({"CPU": 4.0}, {"CPU": 3}, 1),
        ({"CPU": 1.0}, {"CPU": 1 / 3}, 3),
        ({"CPU": 4.0, "GPU": 2.0}, {"CPU": 1, "GPU": 0.5}, 4),
        ({"CPU": 1.0, "GPU": 2.0}, {"CPU": 1, "GPU": 0.5}, 1),
        ({"CPU": 4.0}, {"CPU": 1, "GPU": 1}, 0),
        ({}, {"CPU": 1}, 0),
    ],
)
def test_shares_on_one_node(node, share, fits):
    assert copies(node, share) == fits


@given(
    st.lists(st.tuples(st.integers(0, 16), st.integers(0, 4)), max_size=4),
    st.lists(st.tuples(st.integers(0, 16), st.integers(0, 4), st.integers(0, 3)), max_size=4),
    st.integers(0, 8),
    st.integers(1, 4),
)
def test_more_nodes_hold_no_less(running, types, most_workers, cpus):
    """And no more than every worker there may be, filled one by one."""
    head = {HEAD: 1.0, "CPU": 2.0}
    nodes = (head, *({"CPU": float(cpu), "GPU": float(gpu)} for cpu, gpu in running))
    kinds = tuple(NodeType(str(i), {"CPU": c, "GPU": g}, most) for i, (c, g, most) in enumerate(types))
    there, share = Capacity(nodes, kinds, most_workers), {"CPU": cpus}
    assert there.holds(share) == sum(int(node["CPU"]) // cpus for node in nodes)
    every = sorted((int(kind.resources["CPU"]) // cpus for kind in kinds for _ in range(kind.most)), reverse=True)
    assert there.could_hold(share) == max(there.holds(share), 2 // cpus + sum(every[:most_workers]))
    assert there.most("CPU") >= there.now("CPU")


def test_a_private_machine_keeps_two_cpus_beside_the_actors():
    assert (plan(LAPTOP).actors, plan(LAPTOP).first, plan(LAPTOP).device) == (6, 6, "cpu")
    assert plan(LAPTOP, passes=40).actors == 2  # more would take longer to start than to be worth it
    assert plan(LAPTOP, actors=3).actors == 3
    assert plan(LAPTOP, actors=30).actors == 7  # decoding and writing need a share


def test_gpus_that_run_are_all_used():
    nodes = ({"CPU": 4.0, HEAD: 1.0}, {"CPU": 8.0, "GPU": 4.0}, {"CPU": 2.0, "GPU": 4.0})
    scorers = plan(Capacity(nodes))
    assert (scorers.device, scorers.actors, scorers.first) == ("cuda", 6, 6)  # the third node has CPUs for two only
    assert plan(Capacity(nodes), gpus_per_actor=0.5, cpus_per_actor=0.5).actors == 12
    assert plan(Capacity(nodes), device="cpu").device == "cpu"


def test_a_cluster_that_will_grow_is_asked_for_gpus_that_it_has_not_yet():
    for device in ("auto", "cuda"):
        scorers = plan(EMPTY_CLUSTER, device=device)
        assert (scorers.device, scorers.first, scorers.actors) == ("cuda", 1, 8)
    assert str(scorers).startswith("1 to 8 scoring actors, as nodes are added, on cuda")
    assert plan(EMPTY_CLUSTER, actors=3).actors == 3
    two_run = Capacity((*EMPTY_CLUSTER.nodes, *[{"CPU": 8.0, "GPU": 1.0}] * 2), EMPTY_CLUSTER.types, 12)
    assert plan(two_run).first == 2
    five_workers = Capacity(EMPTY_CLUSTER.nodes, EMPTY_CLUSTER.types, 5)
    assert plan(five_workers).actors == 5


def test_a_cluster_that_will_grow_on_cpus_begins_with_one_actor():
    scorers = plan(EMPTY_CLUSTER, device="cpu")
    assert (scorers.first, scorers.actors) == (1, 8 * 8 + 4 * 16 - 2)


def test_what_no_node_type_has_is_refused():
    cpus_only = Capacity(EMPTY_CLUSTER.nodes, EMPTY_CLUSTER.types[1:], 12)
    with pytest.raises(RuntimeError, match=r"the cluster has 0 GPUs, 0 at most, .*4 x cpu \(16 CPU, 0 GPU\)"):
        plan(cpus_only, device="cuda")
    with pytest.raises(RuntimeError, match=r"compute\.cpus_per_actor"):
        plan(EMPTY_CLUSTER, device="cuda", cpus_per_actor=16)  # 16 CPUs and a GPU are never on one node
    with pytest.raises(RuntimeError, match="too few for one actor"):
        plan(Capacity(({"CPU": 1.0, HEAD: 1.0},)))


def test_an_autoscaler_that_cannot_be_read_needs_a_number():
    secret = Capacity(({HEAD: 1.0},), unreadable="HTTPError: 403")
    with pytest.raises(RuntimeError, match=r"cannot be read \(HTTPError: 403\).*compute\.actors"):
        plan(secret, device="cuda")
    assert (plan(secret, device="cuda", actors=4).first, plan(secret, device="cuda", actors=4).actors) == (1, 4)


def test_room_is_counted_node_by_node():
    two = Capacity(({"CPU": 2.0}, {"CPU": 2.0}))
    check_room("training", {"CPU": 2}, 2, "", two)
    with pytest.raises(RuntimeError, match=r"training needs 1 x 3 CPU, but .* room for 0 of them.*lower it"):
        check_room("training", {"CPU": 3}, 1, "lower it", two)


def test_the_autoscalers_configuration_is_understood():
    configuration = {
        "max_workers": 6,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 4}, "max_workers": 0},
            "gpu": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 4},
            "cpu": {"resources": {"CPU": 16}},  # as many as there may be workers
        },
    }
    there = with_node_types(({HEAD: 1.0, "CPU": 4.0},), configuration)
    assert (there.most("GPU"), there.most("CPU")) == (4, 4 + 6 * 16)
    assert there.could_hold({"CPU": 1, "GPU": 1}) == 4
    configuration["available_node_types"]["gpu"]["resources"] = {}
    assert "gpu does not say" in with_node_types((), configuration).unreadable
