"""A Ray cluster of two nodes on this machine, of one CPU each, for all tests that want one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

LIMIT_SECONDS = 600  # for one test with a cluster: what hangs should fail


@pytest.fixture(scope="session")
def nodes() -> Iterator[Any]:
    """Yield the cluster, connected."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    import ray
    from ray.cluster_utils import Cluster

    from curate.engine.ray import connect

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # a cluster that is started here tells nobody either
    small = {"num_cpus": 1, "object_store_memory": 200 << 20}
    soon = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}  # a lost node is missed in seconds
    head = small | {"include_dashboard": False, "_system_config": soon}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(**small)
        ray.shutdown()  # what an earlier test may have started
        connect(cluster.address, workers=2)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def cluster(nodes: Any) -> Iterator[Any]:
    """Yield the cluster to one test, which fails when it takes too long."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"over {LIMIT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield nodes
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def gpus(cluster: Any) -> Iterator[Any]:
    """Yield a third node of two GPUs, as far as Ray can tell: it hands out numbers, and nothing looks behind them."""
    from curate.engine.ray import resource

    before = set(cluster.worker_nodes)
    yield cluster.add_node(num_cpus=1, num_gpus=2, object_store_memory=200 << 20)
    for node in cluster.worker_nodes - before:  # those too that the test added
        cluster.remove_node(node, allow_graceful=False)
    while resource("GPU"):
        time.sleep(0.1)
