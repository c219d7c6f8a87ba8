"""Sweeps and plans on a dask cluster: a real scheduler and two worker processes, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from tests.questions.sweeping.small_run import RUN

pytestmark = [
    pytest.mark.skipif(find_spec("distributed") is None, reason="needs the extra dask"),
    pytest.mark.filterwarnings("default"),  # distributed's own warnings are not ours
]

VARY = {
    "layout.tensor": "1,2,4", "layout.pipeline": "1,2,4", "layout.recompute": "none,full", "layout.microbatch": "1,2,4,8",
    "training.global_batch": "256..1024:256",
}  # fmt: skip


class Cluster:
    """A scheduler and its workers, each in its own process on the loopback address."""

    def __init__(self, folder: Path) -> None:
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "DASK_DISTRIBUTED__WORKER__DAEMON": "false",
        }
        self.folder = folder
        self.address = (folder / "scheduler.json").as_uri().removeprefix("file://")
        common = ["--no-dashboard"]
        self.processes = [
            self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", self.address, *common)
        ]
        deadline = time.monotonic() + 60
        while not Path(self.address).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        worker = [
            "worker",
            "--scheduler-file",
            self.address,
            "--host",
            "127.0.0.1",
            "--nthreads",
            "1",
            "--no-nanny",
            *common,
        ]
        self.workers = [self.start(*worker, "--local-directory", str(folder / str(number))) for number in range(2)]
        self.processes += self.workers
        from distributed import Client

        with Client(self.scheduler, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        code = f"import sys; from distributed.cli import dask_{words[0]} as m; m.main(sys.argv[1:])"
        return subprocess.Popen(
            [sys.executable, "-c", code, *words[1:]],
            env=self.environment,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    @property
    def scheduler(self) -> str:
        return str(json.loads(Path(self.address).read_text(encoding="utf-8"))["address"])

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    started = Cluster(tmp_path)
    yield started
    started.close()


def test_a_killed_worker_and_then_a_killed_scheduler_lose_nothing(cluster: Cluster, tmp_path: Path) -> None:
    run = gpuhours.from_dict(RUN)
    once, spread = tmp_path / "once.parquet", tmp_path / "spread.parquet"
    gpuhours.sweep(run, VARY, output=once, block_rows=8)
    killed = []

    def kill_one(done: int, whole: int) -> None:
        if not killed and done >= whole // 4:
            cluster.workers[0].send_signal(signal.SIGKILL)
            killed.append(done)

    found = gpuhours.sweep(
        run, VARY, output=spread, block_rows=8, engine="dask", scheduler=cluster.scheduler, watch=kill_one
    )
    assert killed
    assert killed[0] < found.rows
    assert cluster.workers[0].wait(10) == -signal.SIGKILL
    assert found.kept == found.rows
    assert spread.read_bytes() == once.read_bytes()
    alone, planned = gpuhours.plan(run), gpuhours.plan(run, engine="dask", scheduler=cluster.scheduler)
    assert [one.to_dict() for one in planned.best] == [one.to_dict() for one in alone.best]
    assert planned.space == alone.space

    def kill_all(done: int, whole: int) -> None:
        if done >= whole // 4:
            cluster.processes[0].kill()

    resumed = tmp_path / "resumed.parquet"
    with pytest.raises(EstimateError, match="The scheduler is gone"):
        gpuhours.sweep(
            run, VARY, output=resumed, block_rows=8, engine="dask", scheduler=cluster.scheduler, watch=kill_all
        )
    gpuhours.sweep(run, VARY, output=resumed, block_rows=8, resume=True)
    assert resumed.read_bytes() == once.read_bytes()


def test_no_scheduler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from gpuhours.questions.sweeping import cluster as module

    monkeypatch.setattr(module, "PATIENCE", "1s")
    with pytest.raises(EstimateError, match="No scheduler answers"):
        gpuhours.sweep(gpuhours.from_dict(RUN), VARY, engine="dask", scheduler="tcp://127.0.0.1:9")


def test_a_scheduler_that_goes_while_it_is_asked_for_its_workers_is_told() -> None:
    """dask's ``CommClosedError`` is an ``OSError``, which must not be taken for a full disk."""
    from gpuhours.questions.sweeping import cluster as module

    class Gone:
        def nthreads(self) -> dict[str, int]:
            raise ConnectionResetError(104, "Connection reset by peer")

    with pytest.raises(EstimateError, match=r"The scheduler is gone: .*Connection reset") as told:
        module._window(Gone(), "tcp://127.0.0.1:9")
    assert told.value.where == "--scheduler tcp://127.0.0.1:9"


def test_a_scheduler_without_workers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    from gpuhours.questions.sweeping import cluster as module

    monkeypatch.setattr(module, "PATIENCE", "1s")
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None) as empty,
        pytest.raises(EstimateError, match="no worker, and none joined within 1s"),
    ):
        gpuhours.sweep(gpuhours.from_dict(RUN), VARY, engine="dask", scheduler=empty.scheduler_address)
