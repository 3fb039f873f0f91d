"""Several processes: found where there are any, refused where half told, and together they are one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from matjax.training.distributed import VARIABLES, folder_of_process, from_first, is_first, join, text_from_first, to_host

PROGRAM, ROOT = Path(__file__).with_name("two_processes.py"), str(Path(__file__).parents[2])


def test_alone_nothing_is_joined_and_all_is_ones_own(tmp_path) -> None:
    assert join({}) is False and join({"SLURM_STEP_NUM_TASKS": "1"}) is False
    assert is_first() and text_from_first("words") == "words"
    with folder_of_process(tmp_path) as folder:
        assert folder == tmp_path
    tree = {"a": np.arange(3)}
    assert from_first(tree) is tree
    np.testing.assert_array_equal(to_host(tree)["a"], tree["a"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("host:1", "2", ""), "JAX_NUM_PROCESSES is set but JAX_PROCESS_ID is not"),
        (("host:1", "2", "2"), "processes are counted from 0"),
        (("host:1", "two", "0"), "processes are counted from 0"),
        (("host", "2", "0"), "has the form host:port"),
    ],
)
def test_half_a_launch_is_refused(values, said) -> None:
    with pytest.raises(ValueError, match=said):
        join(dict(zip(VARIABLES, values, strict=True)))


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path) -> None:
    """Interrupted after an epoch and resumed, in a folder that only the first of them has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    pair = [dict(zip(VARIABLES, (address, "2", str(i)), strict=True)) for i in (0, 1)]
    started = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(tmp_path / name)],
            env={**os.environ, "PYTHONPATH": ROOT, **more},
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, more in (("first", pair[0]), ("second", pair[1]), ("alone", {}))
    ]
    for process in started:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said[-4000:]
    first, second, alone = (np.load(tmp_path / name / "answer.npz") for name in ("first", "second", "alone"))
    for name in alone:
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_allclose(first[name], alone[name], rtol=1e-4, atol=1e-5)
    assert (tmp_path / "first" / "run").exists() and not (tmp_path / "second" / "run").exists()
