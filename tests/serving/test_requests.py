"""What is asked of the server, good and bad. Files are small words that say what becomes of them (`fake_work`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from nonlocalnet.serving.app import Limits
from nonlocalnet.serving.results import Results
from nonlocalnet.serving.worker import Answer, Worker
from serving.fake_work import PAGE, open_work
from serving.serving_here import LIMITS, Here, served, until


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker(open_work, "video")
    worker.start()
    yield worker
    worker.end()


@pytest.fixture
def here(worker: Worker) -> Iterator[Here]:
    with served(worker) as here:
        yield here


@pytest.fixture(autouse=True)
def _alive(worker: Worker) -> None:
    if not worker.runs:
        worker.start()


def test_a_file_is_answered_and_its_page_kept(here: Here) -> None:
    reply = here.send(b"good one")
    assert (reply.code, reply.told["state"], reply.told["file"]) == (200, "done", "a.mp4")
    assert reply.told["classes"][0]["probability"] == 0.75
    assert reply.told["bytes"] == len(b"good one")
    page = here.get(reply.told["page"])
    assert page.content == PAGE
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert page.headers["x-frame-options"] == "SAMEORIGIN"
    assert "page" not in here.send(b"good blind").told
    assert here.get("/pages/no").told["error"].startswith("this result is no longer kept")


def test_progress_comes_as_lines(here: Here) -> None:
    reply = here.send(b"good one", Accept="application/x-ndjson")
    lines = [json.loads(line) for line in reply.content.splitlines()]
    assert lines[-1]["state"] == "done"
    assert {line["state"] for line in lines[:-1]} <= {"waiting", "working"}
    bad = here.send(b"nonsense", Accept="application/x-ndjson")
    assert json.loads(bad.content.splitlines()[-1])["error"] == "a.mp4: not a video"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>.mp4", "../../etc/passwd", "a\x1b[31m\nb", "x" * 900, ""])
def test_a_name_is_text(here: Here, name: str) -> None:
    told = here.send(b"good one", f"/predict?name={quote(name)}").told
    assert told["bytes"] == len(b"good one")
    assert len(told["file"]) < 200
    assert told["file"].isprintable()
    if len(name) < 100 and name.isprintable() and name:
        assert told["file"] == name
        assert here.send(b"bad", f"/predict?name={quote(name)}").told["error"] == f"{name}: not a video"


def test_ten_at_once_take_turns(here: Here) -> None:
    with ThreadPoolExecutor(10) as senders:
        replies = list(senders.map(lambda _: here.send(b"sleep 0.05", Accept="application/x-ndjson"), range(10)))
    lines = [[json.loads(line) for line in reply.content.splitlines()] for reply in replies]
    assert [one[-1]["state"] for one in lines] == ["done"] * 10
    assert len({one[-1]["process"] for one in lines}) == 1
    places = {line["place"] for one in lines for line in one if line["state"] == "waiting"}
    assert len(places) >= 5
    assert here.health()["waiting"] == 0


def test_a_full_queue_says_so(worker: Worker) -> None:
    with served(worker, limits=Limits(10**5, 60, most_waiting=1)) as here:
        with here.begin(b"sleep 20"), here.begin(b"sleep 20"):
            until(lambda: (here.health()["working"], here.health()["waiting"]) == (True, 1))
            reply = here.send(b"good one" * 9000)
            assert reply.code == 503
            assert reply.told["error"] == "1 files wait already, and no more can: try again in a while"
        until(lambda: here.send(b"good one").code == 200)


def test_what_is_too_large_is_refused_whatever_its_header_says(here: Here) -> None:
    content = b"good " + b"x" * LIMITS.most_bytes
    for sent in (content, iter([content[:60_000], content[60_000:]])):  # without a length, in chunks
        reply = here.send(sent)
        assert reply.code == 413
        assert reply.told["error"].startswith("the file is larger than 0.1 MB (--most-mb)")
    assert here.send(content[: LIMITS.most_bytes]).told["bytes"] == LIMITS.most_bytes


def test_what_is_no_file(here: Here) -> None:
    assert here.send(b"").told["error"] == "the file is empty (0 bytes)"
    form = here.send(b"--a", Content_Type="multipart/form-data; boundary=a")
    assert form.code == 415
    assert "curl --data-binary @FILE" in form.told["error"]
    reply = here.send(b"nonsense")
    assert (reply.code, reply.told["error"]) == (422, "a.mp4: not a video")


def test_who_goes_away_frees_the_place(here: Here) -> None:
    working = here.begin(b"sleep 60")
    until(lambda: here.health()["working"])
    waiting, sending = here.begin(b"sleep 60"), here.begin(b"sleep", length=5000)
    until(lambda: here.health()["waiting"] == 1)
    for one in (sending, waiting, working):
        one.close()
    assert here.send(b"good one").code == 200
    assert here.health()["working"] is False
    assert here.health()["waiting"] == 0


def test_work_that_crashes_or_lasts_too_long_spoils_nobody_elses(worker: Worker) -> None:
    with served(worker, limits=Limits(10**5, most_seconds=0.5, most_waiting=4)) as here:
        assert here.send(b"sleep 60").told["error"].startswith("it took longer than 0.5 seconds (--most-seconds)")
        assert here.send(b"good one").code == 200
        crashed = here.send(b"crash")
        assert (crashed.code, crashed.told["error"].split(",")[0]) == (500, "the process that looked at it died")
        failed = here.send(b"fail")
        assert failed.told["error"] == "the network failed on it: out of memory on a.mp4"
        assert here.send(b"good one").code == 200


def test_every_answer_has_the_headers(here: Here) -> None:
    for reply in (
        here.get("/"),
        here.get("/serve.js"),
        here.get("/nothing"),
        here.send(b"good one"),
        here.get("/health"),
    ):
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "SAMEORIGIN"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["cache-control"] == "no-store"
        assert "server" not in reply.headers
    assert here.get("/predict").code == 405


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", ""])
def test_another_name_is_refused(here: Here, host: str) -> None:
    assert here.get("/health", Host=host).code == 403


@pytest.mark.parametrize("host", ["localhost:{}", "127.0.0.1:{}", "[::1]:{}", "LOCALHOST"])
def test_this_machines_names_are_taken(here: Here, host: str) -> None:
    assert here.get("/health", Host=host.format(here.port)).code == 200


def test_a_page_of_another_address_sends_nothing(here: Here) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}):
        assert here.send(b"good one", **headers).code == 403
    own = {"Origin": f"http://127.0.0.1:{here.port}", "Sec_Fetch_Site": "same-origin"}
    assert here.send(b"good one", **own).code == 200


def test_results_are_few_and_for_a_while() -> None:
    results = Results(most=2, seconds=60)
    keys = [results.put(Answer({}, bytes([i]), b"")) for i in range(3)]
    assert [results.get(key) is None for key in keys] == [True, False, False]
    old = Results(seconds=0)
    assert old.get(old.put(Answer({}, b"a", b""))) is None


def test_a_network_that_cannot_be_loaded_is_one_error() -> None:
    worker = Worker(open_work, "nothing")
    with pytest.raises(ValueError, match=r"^weights\.pt holds no network$"):
        worker.start()
    assert not worker.runs
