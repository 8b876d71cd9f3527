"""The attacks on paths of other viewers: with a lease, a session and a form that are right but for what is attacked."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from worlds.attacking import (
    BODIES,
    DIALECT_TOKEN,
    OK_REFUSALS,
    PATHS,
    SECRET,
    place,
    raw,
    request,
    scans_of,
    status_of,
    target,
    unharmed,
)
from worlds.serving import TOKEN, Server

__all__ = ["place", "target", "unharmed"]  # fixtures

ONE_OF_EACH = (
    "POST /claim", "POST /predict", "GET /info/", "POST /infer/prosect", "GET /datastore/", "GET /v2/models",
    "GET /v2/start_session/prosect", "GET /v1/vista3d/info", "POST /v1/vista3d/inference", "GET /auth/token/valid",
)  # fmt: skip
GEOMETRY = {"spacing": [1, 1, 1], "origin": [0, 0, 0], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1]}
INTRUDERS = {
    "7 foreign origin": {"Origin": "http://evil.example"},
    "8 no origin of its own": {"Origin": "null"},
    "9 link of another site": {"Sec_Fetch_Site": "cross-site"},
    "11 no token": {"Authorization": ""},
    "12 wrong token": {"Authorization": "Bearer wrong"},
    "13 part of the token": {"Authorization": f"Bearer {TOKEN[:-1]}"},
    "14 basic": {"Authorization": "Basic bWU6d3Jvbmc="},
}


@pytest.mark.parametrize("attack", INTRUDERS)
def test_who_is_not_meant_is_refused_by_every_protocol(target: Server, attack: str) -> None:
    for call in ONE_OF_EACH:
        answer = raw(target, request(target, f"{call} HTTP/1.1", **INTRUDERS[attack]))
        assert status_of(answer) in (401, 403, 429), call


def test_a_token_in_the_query_lets_nobody_in_and_one_in_the_path_opens_no_files(target: Server) -> None:
    for call in ONE_OF_EACH:  # attack 15
        answer = raw(target, request(target, f"{call}?token={TOKEN} HTTP/1.1", Authorization=""))
        assert status_of(answer) in (401, 429), call
    path = f"GET /t/{DIALECT_TOKEN}/api/v1/files HTTP/1.1"  # attack 16
    assert status_of(raw(target, request(target, path, Authorization=""))) in (401, 429)


@pytest.fixture(scope="module")
def lease(target: Server) -> str:
    """A place of nnInteractive's clients."""
    return str(target.http.post("/claim").json()["lease_token"])


@pytest.fixture(scope="module")
def snap(target: Server) -> str:
    """A session of ITK-SNAP's."""
    return str(target.http.get("/v2/start_session/prosect").json()["session_id"])


def test_a_lease_of_another_is_worth_nothing_where_it_is_not_known(target: Server, snap: str) -> None:
    for guess in ("", "0", snap, "../..", "A" * 32):  # attacks 19, 20, 36
        answer = target.http.post("/predict", json={}, headers={"X-Lease-Token": guess})
        assert answer.status_code == 410, guess
    for path in (
        "/session/{}",
        "/v2/reset_interactions/{}",
        "/v2/process_point_interaction/{}?point=1&point=1&point=1",
    ):
        for guess in ("0", "..%2f..", "A" * 32):
            assert target.http.get(path.format(guess)).status_code == 404, (path, guess)


def ask_everywhere(target: Server, path: str) -> list[Any]:
    """The answers of every call of other viewers that takes a name of a file."""
    name, http = quote(path.encode("utf-8", "surrogateescape"), safe=""), target.http
    sent_name = path[-40:].encode("utf-8", "replace").decode()
    form = {"params": (None, "{}"), "label": ("x.nii.gz", b"x")}
    return [
        http.post("/v1/vista3d/inference", content=json.dumps({"image": path})),
        http.post("/v1/vista3d/inference", content=json.dumps({"image": f"file://{path}"})),
        http.post("/v1/vista3d/inference", content=json.dumps({"image": f"upload:{path}"})),
        http.post(f"/infer/prosect?image={name}", files={"params": (None, "{}")}),
        http.post(f"/infer/prosect?session_id={name}", files={"params": (None, "{}")}),
        http.get(f"/datastore/image?image={name}"),
        http.get(f"/datastore/label?label={name}&tag={name}"),
        http.put(f"/datastore/label?image={name}&tag={name}", files=form),
        http.put(f"/datastore/?image={name}", files={"params": (None, "{}"), "file": (sent_name, b"no scan")}),
        http.get(f"/v2/reset_interactions/{name}"),
    ]


@pytest.mark.parametrize("attack", PATHS)
def test_no_path_leads_out_by_another_protocol(target: Server, attack: str) -> None:
    for number, answer in enumerate(ask_everywhere(target, PATHS[attack])):
        assert answer.status_code in OK_REFUSALS, (number, answer.text)
        assert SECRET not in answer.content
        assert b"root:" not in answer.content


def test_a_folder_to_work_in_outside_is_refused(target: Server, place: Path) -> None:
    image = {"image": "scans/ct.nii.gz", "prompts": {"classes": ["liver"]}}
    for folder in ("/tmp", "../..", str(place)):  # attack 34
        answer = target.http.post("/v1/vista3d/inference", json={**image, "local_working_dir": folder})
        assert answer.status_code in OK_REFUSALS, folder


@pytest.mark.parametrize("attack", BODIES)
def test_bodies_that_lie_are_refused_by_those_who_expect_such(
    target: Server, lease: str, snap: str, attack: str
) -> None:
    body = BODIES[attack]()
    told = {
        "dimensions": [64, 64, 64],
        "spacing": [1, 1, 1],
        "origin": [0, 0, 0],
        "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1],
    }
    form = {"file": ("image.gz", body), "metadata": (None, json.dumps(told), "application/json")}
    packed = {"X-Lease-Token": lease, "Content-Type": "application/octet-stream", "X-Meta": "{}"}
    calls: list[Callable[[], Any]] = [
        lambda: target.http.post("/set_image", content=body, headers=packed),
        lambda: target.http.post("/add_initial_seg_interaction", content=body, headers=packed),
        lambda: target.http.post("/add_scribble_interaction", content=body, headers=packed),
        lambda: target.http.post(f"/upload_raw/{snap}", files=form),
        lambda: target.http.post(f"/process_lasso_interaction/{snap}", files=form),
        lambda: target.http.put("/session/", files={"files": ("x.nii.gz", body)}),
        lambda: target.http.put("/datastore/?image=x", files={"params": (None, "{}"), "file": ("x.nii.gz", body)}),
    ]
    for number, call in enumerate(calls):
        answer = call()
        assert answer.status_code in (*OK_REFUSALS, 507), (number, answer.text)
    kept = {Path(each.path).parent.name for each in scans_of(target)}
    assert [each for each in target.service.library.uploads.iterdir() if each.name not in kept] == []


def test_an_image_that_inflates_to_more_than_it_says_costs_only_what_it_says(target: Server, snap: str) -> None:
    told = {
        "dimensions": [8, 8, 8],
        "spacing": [1, 1, 1],
        "origin": [0, 0, 0],
        "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1],
    }
    form = {"file": ("image.gz", gzip.compress(bytes(200 << 20), 1)), "metadata": (None, json.dumps(told))}
    answer = target.http.post(f"/upload_raw/{snap}", files=form)  # attack 51
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000, '{"coordinates":[NaN,0,0],"include_interaction":true,"run_prediction":true}',
        '{"coordinates":[1e999,0,0],"include_interaction":true,"run_prediction":true}', '{"coordinates":null}', "\x00",
        '{"a":1,"a":2}',
        '{"coordinates":"\\udcc0"}', '{"bbox_coords":[[0,1],[0,1]]}', '{"bbox_coords":[[5,1],[0,1],[0,1]]}', "null",
        '"x"',
    ],
)  # fmt: skip
def test_texts_that_are_no_prompt_are_refused(target: Server, lease: str, text: str) -> None:
    for path in ("/add_point_interaction", "/add_bbox_interaction", "/set_target_buffer"):  # attacks 54, 55
        answer = target.http.post(path, content=text, headers={"X-Lease-Token": lease})
        assert answer.status_code in OK_REFUSALS, (path, answer.text)
        assert isinstance(answer.json()["detail"], str)
    for path in ("/v1/vista3d/inference", "/infer/prosect?image=ct"):
        assert target.http.post(path, content=text).status_code in OK_REFUSALS, path
