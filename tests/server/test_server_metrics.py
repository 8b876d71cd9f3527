"""What a server counts and times, in the text that Prometheus reads."""

from __future__ import annotations

import re

import httpx
import pytest

from prosect.server.metrics import BOUNDS_S, Metrics
from worlds.serving import Server

API = "/api/v1"


def value(text: str, series: str) -> float:
    """The value of one series."""
    (line,) = [each for each in text.splitlines() if each.startswith(f"{series} ")]
    return float(line.rpartition(" ")[2])


def test_each_set_of_labels_is_counted_for_itself() -> None:
    metrics = Metrics()
    for status in ("200", "200", "404"):
        metrics.count("requests_total", dialect="native", status=status)
    text = metrics.text({})
    assert value(text, 'prosect_requests_total{dialect="native",status="200"}') == 2
    assert value(text, 'prosect_requests_total{dialect="native",status="404"}') == 1
    assert text.count("# TYPE prosect_requests_total counter") == 1


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.0, "0.005"), (0.005, "0.005"), (0.0051, "0.01"), (60.0, "60"), (61.0, "+Inf")]
)
def test_a_time_counts_in_every_bound_that_it_does_not_exceed(seconds: float, bound: str) -> None:
    metrics = Metrics()
    metrics.time("model_seconds", seconds, kind="click")
    counts = dict(re.findall(r'_bucket\{kind="click",le="([^"]+)"\} (\d+)', metrics.text({})))
    bounds = [f"{each:g}" for each in BOUNDS_S] + ["+Inf"]
    assert list(counts) == bounds
    reached = bounds.index(bound)
    assert [counts[each] for each in bounds] == ["0"] * reached + ["1"] * (len(bounds) - reached)


def test_a_histogram_ends_with_its_sum_and_its_count() -> None:
    metrics = Metrics()
    for seconds in (0.25, 0.5, 90.0):
        metrics.time("queue_seconds", seconds, kind="draft")
    text = metrics.text({})
    assert value(text, 'prosect_queue_seconds_sum{kind="draft"}') == pytest.approx(90.75)
    assert value(text, 'prosect_queue_seconds_count{kind="draft"}') == 3


def test_labels_cannot_leave_their_quotes() -> None:
    metrics = Metrics()
    metrics.count("requests_total", route='a"} 7\nprosect_requests_total{route="b\\')
    lines = metrics.text({}).splitlines()
    assert lines[-1] == r'prosect_requests_total{route="a\"} 7\nprosect_requests_total{route=\"b\\"} 1'


def test_gauges_stand_as_they_were_measured() -> None:
    text = Metrics().text({"sessions_live": 3, "memory_used_bytes": 12_345_678_901.0})
    assert value(text, "prosect_sessions_live") == 3
    assert "prosect_memory_used_bytes 12345678901\n" in text
    assert "# TYPE prosect_sessions_live gauge" in text


def test_a_server_times_each_route_and_verb_and_names_no_session(server: Server) -> None:
    scan, session = server.begin()
    identity = session["session_id"]
    where = {"structure": "my lesion", "position": [20.0, 10.0, 20.0], "space": "voxel"}
    assert server.http.post(f"{API}/sessions/{identity}/clicks", json=where).status_code == 200
    for _ in range(2):
        assert server.http.get(f"{API}/sessions/{identity}").status_code == 200
    assert server.http.get(f"{API}/scans/nothing").status_code == 404
    text = server.http.get("/metrics").text
    route = 'route="/api/v1/sessions/{session_id}",method="GET"'
    assert value(text, f'prosect_request_seconds_count{{dialect="native",{route}}}') == 2
    assert value(text, f'prosect_requests_total{{dialect="native",{route},status="200"}}') == 2
    assert 'route="/api/v1/scans/{scan_id}",method="GET",status="404"} 1' in text
    for name in ("queue_seconds", "model_seconds"):
        assert value(text, f'prosect_{name}_count{{kind="click"}}') == 1
    assert value(text, "prosect_pack_seconds_count") == 1
    assert value(text, "prosect_sessions_live") == 1
    journal = next(server.service.library.journals.iterdir())
    assert value(text, "prosect_journal_bytes") == journal.stat().st_size > 0
    voxels = 40 * 36 * 28
    assert value(text, "prosect_memory_planned_bytes") == voxels * (8 + 3)
    for secret in (identity, scan["scan_id"], "ct.nii", "lesion", server.settings.token, str(server.settings.work)):
        assert secret not in text


def test_dialects_and_refusals_are_told_apart(server: Server) -> None:
    server.http.post("/claim")
    server.http.get("/nowhere/at/all")
    server.http.get(f"{server.address}/metrics", headers={"Authorization": "Bearer wrong"})
    text = server.http.get("/metrics").text
    assert 'prosect_requests_total{dialect="nninteractive",route="/claim",method="POST",status="200"} 1' in text
    for status in (401, 404):
        assert f'prosect_requests_total{{dialect="server",route="none",method="GET",status="{status}"}} 1' in text


def test_measures_are_for_those_who_know_the_token(server: Server) -> None:
    assert httpx.get(f"{server.address}/metrics").status_code == 401
