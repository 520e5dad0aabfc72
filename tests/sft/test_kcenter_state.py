"""A run of K-Center-Greedy that is stopped continues to the same picks."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from curate.errors import CurateError, UsageError
from curate.sft import kcenter_numpy, kcenter_state
from curate.sft.kcenter import k_center_greedy

SLOW = """
import sys, time
import numpy as np
from curate.sft import kcenter_numpy, kcenter_state
from curate.sft.kcenter import k_center_greedy
kcenter_numpy._ABOVE, kcenter_state._SECONDS = 20, 0
k_center_greedy(np.load(sys.argv[1]), 500, state=sys.argv[2], on_progress=lambda *at: time.sleep(0.05))
"""


@pytest.fixture
def X(monkeypatch):
    """Return rows, and see to it that they are picked in many small steps."""
    monkeypatch.setattr(kcenter_numpy, "_ABOVE", 20)
    return np.random.default_rng(0).standard_normal((5000, 8)).astype(np.float32)


def stop_at(picks):
    """Return a progress function that does what Ctrl-C does."""

    def progress(done, total):
        if done >= picks:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("options", [{}, {"first": 7}, {"initial": [3, 9]}])
def test_after_ctrl_c_it_continues(X, tmp_path, options):
    """The picks kept are a prefix; the same call makes the rest, reports all of them, and removes the file."""
    state = tmp_path / "picks.json"
    want = k_center_greedy(X, 300, **options)
    with pytest.raises(KeyboardInterrupt):
        k_center_greedy(X, 300, state=state, on_progress=stop_at(100), **options)
    kept = len(kcenter_state.json.loads(state.read_bytes())["picks"])
    assert 100 <= kept < 300
    made = []
    got = k_center_greedy(X, 300, state=state, on_progress=lambda done, _: made.append(done), **options)
    assert made[0] > kept
    for name in ("indices", "radii", "nearest", "distances"):
        assert getattr(got, name).tobytes() == getattr(want, name).tobytes()
    assert list(tmp_path.iterdir()) == []


def test_after_a_kill_it_continues(X, tmp_path):
    """SIGKILL in the middle leaves a state that is whole, and the picks are the same."""
    np.save(tmp_path / "X.npy", X)
    state = tmp_path / "picks.json"
    child = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path / "X.npy"), str(state)])
    deadline = time.monotonic() + 60
    while not (state.exists() and len(kcenter_state.json.loads(state.read_bytes())["picks"]) > 10):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert 10 < len(kcenter_state.json.loads(state.read_bytes())["picks"]) < 500
    assert k_center_greedy(X, 500, state=state).indices.tolist() == k_center_greedy(X, 500).indices.tolist()
    assert not state.exists()


@pytest.mark.parametrize("more", [20, 300])
def test_another_number_of_picks_may_be_asked_for(X, tmp_path, more):
    """The picks are a prefix of any longer run."""
    state = tmp_path / "picks.json"
    with pytest.raises(KeyboardInterrupt):
        k_center_greedy(X, 200, state=state, on_progress=stop_at(100))
    assert k_center_greedy(X, more, state=state).indices.tolist() == k_center_greedy(X, more).indices.tolist()


def test_picks_of_another_call_are_refused(X, tmp_path):
    """Other vectors, another first pick or other initial rows: nothing is mixed up, and the file stays."""
    state = tmp_path / "picks.json"
    with pytest.raises(KeyboardInterrupt):
        k_center_greedy(X, 200, state=state, on_progress=stop_at(100))
    other = X.copy()
    other[4999, 7] = 0
    for vectors, options in ((other, {}), (X, {"first": 0}), (X, {"initial": [1]}), (X[:, ::-1].copy(), {})):
        with pytest.raises(UsageError, match=r"picks\.json were made from other vectors"):
            k_center_greedy(vectors, 200, state=state, **options)
    assert state.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"picks": [1]}', '{"fingerprint": "x", "picks": 3}'])
def test_another_file_is_refused(X, tmp_path, text):
    """A file that is no state is neither read as one nor overwritten."""
    state = tmp_path / "notes.txt"
    state.write_text(text)
    with pytest.raises(UsageError, match=r"notes\.txt holds no picks"):
        k_center_greedy(X, 20, state=state)
    assert state.read_text() == text


def test_a_path_that_cannot_be_written_is_told_before_the_work(X, tmp_path):
    """The error names the path."""
    with pytest.raises(CurateError, match=r"cannot be kept in .*absent"):
        k_center_greedy(X, 20, state=tmp_path / "absent" / "picks.json", on_progress=stop_at(1))
