"""What stops a run, and that it leaves the last good checkpoint as it was."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from at_step import At
from engine.toy import Toy, ToyClips, toy_train
from nonlocalnet.engine.config import OptimConfig, TrainerConfig
from nonlocalnet.engine.devices import choose_device, training_device
from nonlocalnet.engine.run_folder import prepare_output
from nonlocalnet.runs.video.results.counts import read_metrics
from nonlocalnet.system.errors import NonFiniteError, OutputError
from nonlocalnet.system.files import whole_file, write_atomically
from nonlocalnet.system.folders import whole_folder


def spoil_weights(model: Toy) -> None:
    with torch.no_grad():
        model.head.weight[0, 0] = torch.nan


def spoil_statistics(model: Toy) -> None:
    # In training mode BatchNorm does not read them: the loss stays finite, and only the checkpoint would be broken.
    assert model.norm.running_var is not None
    model.norm.running_var[0] = torch.inf


def last_checkpoint(out: Path) -> dict[str, Any]:
    return torch.load(out / "last.ckpt", weights_only=True)


def test_nan_loss_names_step_and_last_good_checkpoint(tmp_path: Path) -> None:
    message = r"loss became nan at step 8 .*optim\.lr.*last good checkpoint: .*last\.ckpt"
    with pytest.raises(NonFiniteError, match=message):
        toy_train(tmp_path, callbacks=(At(7, spoil_weights),))
    checkpoint = last_checkpoint(tmp_path)
    assert checkpoint["global_step"] == 6
    assert all(torch.isfinite(t).all() for t in checkpoint["state_dict"].values())
    assert read_metrics(tmp_path / "metrics.csv")[-1].step == 7


def test_nan_loss_before_any_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"at step 1 .*last good checkpoint: none yet"):
        toy_train(tmp_path, callbacks=(At(0, spoil_weights),))


def test_nan_loss_in_one_micro_batch_stops_before_the_step(tmp_path: Path) -> None:
    model = Toy()
    with pytest.raises(NonFiniteError, match=r"at step 1 .*frames hold NaN"):
        toy_train(tmp_path, model=model, dataset=ToyClips(4, poison=2), optim=OptimConfig(batch_size=4, accumulate=4))
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_broken_weights_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"model\.norm\.running_var holds NaN or infinity after step 6"):
        toy_train(tmp_path, validate=False, callbacks=(At(5, spoil_statistics),))
    checkpoint = last_checkpoint(tmp_path)
    assert checkpoint["global_step"] == 5
    assert all(torch.isfinite(t).all() for t in checkpoint["state_dict"].values())


def test_full_disk_is_one_line_and_keeps_the_old_file(tmp_path: Path, small_disk: None) -> None:
    write_atomically(tmp_path / "last.ckpt", b"good")
    with pytest.raises(OutputError, match=r"cannot write .*last\.ckpt: File too large; free some on its disk"):
        write_atomically(tmp_path / "last.ckpt", b"x" * 10_000)
    assert (tmp_path / "last.ckpt").read_bytes() == b"good"
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_the_traceback_of_a_full_disk_holds_no_view_of_a_buffer(tmp_path: Path, small_disk: None) -> None:
    """Collected with its buffer such a view is an error, of which Python 3.12.1 died."""
    buffer = io.BytesIO(b"x" * 10_000)
    with pytest.raises(OutputError) as kept:
        write_atomically(tmp_path / "last.ckpt", buffer)
    assert buffer.truncate(0) == 0  # refused while there is one
    assert kept.tb is not None


def test_full_disk_stops_a_run(tmp_path: Path, small_disk: None) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*last\.ckpt"):
        toy_train(tmp_path)


def test_full_disk_after_good_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, calls = os.fsync, []

    def fail_later(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fail_later)
    with pytest.raises(OutputError, match="No space left on device"):
        toy_train(tmp_path)
    assert last_checkpoint(tmp_path)["global_step"] == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no file here that takes nothing")
def test_full_disk_at_a_row_of_the_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Path.open

    def open_full(path: Path, *args: Any, **further: Any) -> Any:
        return plain(Path("/dev/full"), "wb") if "tfevents" in path.name else plain(path, *args, **further)

    monkeypatch.setattr(Path, "open", open_full)
    message = r"cannot write .*tensorboard/.*: No space left on device; free some on its disk or write to another"
    with pytest.raises(OutputError, match=message):
        toy_train(tmp_path)


@pytest.mark.parametrize("block", [whole_file, whole_folder])
def test_full_disk_is_named_where_the_system_does_not(block: Any, tmp_path: Path) -> None:
    message = rf"cannot write {tmp_path}/new: No space left on device; free some"
    with pytest.raises(OutputError, match=message), block(tmp_path / "new"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a"
    write_atomically(target, "old")
    seen = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (seen.append(target.read_text()), sync(handle))[1])
    write_atomically(target, "new")
    # Once before the rename, once (the folder) after it.
    assert seen == ["old", "new"]


def test_output_folder_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"exists and is not empty \(it holds thesis\.tex\); choose another folder$"):
        prepare_output(tmp_path, resume=False)
    prepare_output(tmp_path, resume=True)


def test_what_a_killed_process_was_writing_is_in_nobodys_way(tmp_path: Path) -> None:
    for name in (".scores.partial.safetensors", ".clip.partial-2.mp4", ".clip.partial.jsonl"):
        (tmp_path / name).touch()
    prepare_output(tmp_path, resume=False)
    (tmp_path / "scores.partial.safetensors").touch()  # somebody's
    with pytest.raises(OutputError, match=r"it holds scores\.partial\.safetensors"):
        prepare_output(tmp_path, resume=False)


def test_output_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OutputError, match=f"cannot use output folder {out}: (File exists|Not a directory)"):
            prepare_output(out, resume=False)


def test_unwritable_output_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, whom permissions do not stop.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="is not writable"):
        prepare_output(tmp_path, resume=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_cuda_without_a_device(tmp_path: Path) -> None:
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"trainer\.device\) is 'cuda'"):
        toy_train(tmp_path, trainer=TrainerConfig(device="cuda"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"precision": "16-mixed"}, r"trainer\.precision '16-mixed' needs a CUDA device; on the CPU use 'bf16-mixed'"),
        ({"strategy": "fsdp", "devices": 2}, r"trainer\.strategy 'fsdp' needs CUDA devices; on the CPU use 'ddp'"),
    ],
)
def test_settings_that_the_cpu_does_not_take(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy_train(tmp_path, trainer=TrainerConfig(device="cpu", **values))


def test_more_devices_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"trainer\.devices is 2, but PyTorch finds 1 CUDA devices here"):
        training_device(TrainerConfig(devices=2))
