"""metrics.csv, read again."""

import re
from pathlib import Path

import pytest

from nonlocalnet.runs.video.results.counts import read_metrics

WHOLE = "step,split,loss,top1,top5,lr,map\n1,train,2.0,50.0,100.0,0.1,\n"


def test_a_row_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(WHOLE + "2,tra")
    assert [row.step for row in read_metrics(path)] == [1]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text.replace("loss", "lOss"), "there is no column 'loss'"),
        (lambda text: text.replace("1,train", "one,train"), "invalid literal"),
        (lambda text: text + "\xb1", "can't decode byte"),
        (lambda text: text.partition("\n")[2], "there is no column 'step'"),  # one row, taken for the names of columns
        (lambda text: "\0" * len(text), "there is no column 'step'"),  # as a power loss may leave it
        (lambda text: text.partition("\n")[0].replace("loss", "lOss") + "\n", "there is no column 'loss'"),
        (lambda _: "", "there is no column 'step'"),
    ],
)
def test_another_record_is_named(tmp_path: Path, damage, reason: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(damage(WHOLE), encoding="latin-1")
    named = re.escape(f"{path} is not the record that a run writes")
    with pytest.raises(ValueError, match=rf"^{named} \(.*{reason}"):
        read_metrics(path)
