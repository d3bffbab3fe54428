"""Signals as exceptions, lines and exit codes; in processes that import no PyTorch."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from nonlocalnet.commands.main import main
from nonlocalnet.engine.stopping import EndAtStep
from nonlocalnet.system.stops import SIGNALS, Stopped, Stops, stoppable


def ends(code: str) -> tuple[int, str]:
    """Exit code and standard error of a program."""
    start = "import os, signal, time\nfrom nonlocalnet.system import stops\nme = os.getpid()\n"
    finished = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, timeout=60)
    return finished.returncode, finished.stderr


@pytest.mark.parametrize(("signum", "name"), [(15, "SIGTERM"), (2, "Ctrl-C"), (1, "SIGHUP")])
def test_a_signal_ends_a_program_with_its_code_and_one_line(signum: int, name: str) -> None:
    code = (
        f"with stops.stoppable() as s:\n    s.where = lambda: ' here'\n    os.kill(me, {signum})\n    time.sleep(9)\n"
    )
    assert ends(code) == (128 + signum, f"nonlocalnet: stopped by {name} here\n")


def test_what_does_not_end_is_ended() -> None:
    code = (
        "stops.GRACE_SECONDS = 0.1\nwith stops.stoppable() as s, s.postponed():\n"
        "    s.last = lambda: os.write(2, b'first ')\n    os.kill(me, 15)\n    time.sleep(9)\n"
    )
    assert ends(code) == (143, "first nonlocalnet: stopped by SIGTERM\n")


def test_what_is_ignored_stays_ignored() -> None:
    code = "signal.signal(1, signal.SIG_IGN)  # as nohup does\nwith stops.stoppable():\n    os.kill(me, 1)\n"
    assert ends(code) == (0, "")


def test_a_postponed_signal_comes_at_the_end_and_handlers_are_put_back() -> None:
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    reached = []

    def work() -> None:
        with stoppable() as stops, stops.postponed():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append(stops.asked)

    with pytest.raises(Stopped) as caught:
        work()
    assert (reached, caught.value.code) == ([signal.SIGTERM], 143)
    assert {signum: signal.getsignal(signum) for signum in SIGNALS} == before


_AFTER_THE_WORK = (
    "import atexit, sys\nfrom nonlocalnet.commands import main as commands\n"
    "sys.argv = ['nonlocalnet', '--version']\n{before}code = commands.main()\n{after}sys.exit(code)\n"
)


@pytest.mark.parametrize(("signum", "name"), [(15, "SIGTERM"), (2, "Ctrl-C"), (1, "SIGHUP")])
def test_a_signal_after_the_work_has_its_code_and_one_line(signum: int, name: str) -> None:
    code, said = ends(_AFTER_THE_WORK.format(before="", after=f"os.kill(me, {signum})\ntime.sleep(9)\n"))
    assert (code, said) == (128 + signum, f"nonlocalnet: stopped by {name}\n")


@pytest.mark.parametrize("signum", [15, 2, 1])
def test_a_signal_while_python_ends_changes_nothing(signum: int) -> None:
    # A callback that was registered first runs last; an object of a module is deleted when handlers are gone.
    late = f"class Late:\n    def __del__(self, kill=os.kill, me=me):\n        kill(me, {signum})\nlate = Late()\n"
    for before in (f"atexit.register(os.kill, me, {signum})\n", late):
        assert ends(_AFTER_THE_WORK.format(before=before, after="")) == (0, "")


def test_a_run_that_was_stopped_says_how_it_is_gone_on_with() -> None:
    where = EndAtStep(Stops(), SimpleNamespace(last_step=3), start_step=0).where()
    assert where == " at step 0; go on with --resume, from step 3"


def test_ctrl_c_during_imports(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib, "import_module", lambda _name: os.kill(os.getpid(), signal.SIGINT))
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "nonlocalnet: stopped by Ctrl-C\n"


def test_the_command_line_can_be_stopped_before_pytorch_is_there() -> None:
    code = "import sys, nonlocalnet.commands.main\nassert 'torch' not in sys.modules\n"
    assert ends(code) == (0, "")


WORKER = "stops.outlast_the_parent()\nos.kill(me, 15)\n"


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="Windows")
@pytest.mark.parametrize("then", ["os.kill(me, 15)", "time.sleep(9)"], ids=["told again", "after a while"])
def test_a_worker_outlasts_the_first_sigterm_and_ends_as_by_itself(then: str) -> None:
    code = f"stops._OUTLAST_SECONDS = 1\n{WORKER}os.write(2, b'works on')\n{then}\nos.write(2, b'!')"
    # PyTorch makes an error of a worker that died of a signal.
    assert ends(code) == (0, "works on")
