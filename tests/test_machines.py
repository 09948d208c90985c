"""The program of docs/guides/machines.md trains one model in two processes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import torch

import elman
from tests.pages import DOCS, text
from tests.systems import PATIENCE

PAGE = DOCS / "guides" / "machines.md"


def test_two_processes_train_one_model_that_has_learned(tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", text(PAGE), re.M | re.S)
    (tmp_path / "train.py").write_text(program, "utf-8")
    torchrun = "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"
    done = subprocess.run(
        [sys.executable, *torchrun, "train.py"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    gru, out = elman.GRU(4, 32, batch_first=True), torch.nn.Linear(32, 1)
    gru.load_state_dict({n[4:]: t for n, t in state.items() if n.startswith("gru.")})
    out.load_state_dict({n[4:]: t for n, t in state.items() if n.startswith("out.")})
    torch.manual_seed(1)
    x = torch.randn(500, 20, 4)
    right = (out(gru(x)[1][-1])[:, 0] > 0) == (x[:, :, 0].mean(1) > 0)
    assert right.double().mean() > 0.9
