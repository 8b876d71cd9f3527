"""Five protocols on one port: none is in another's way, each can be left out, and what is off is not there."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from prosect.errors import UsageError
from prosect.server.app import ROUTERS
from prosect.server.settings import DIALECTS, Settings
from worlds.serving import TOKEN, Server

# A call of each protocol that needs no client of its own.
CALLS = {
    "native": ("GET", "/api/v1/capabilities"),
    "nim": ("GET", "/v1/vista3d/info"),
    "monailabel": ("GET", "/info/"),
    "nninteractive": ("GET", "/capabilities"),
    "dls": ("GET", "/v2/models"),
}


def statuses(server: Server) -> dict[str, int]:
    """What each call is answered with."""
    return {name: server.http.request(*call).status_code for name, call in CALLS.items()}


def test_all_are_spoken_at_once(server: Server) -> None:
    assert statuses(server) == dict.fromkeys(DIALECTS, 200)
    assert set(ROUTERS) == set(DIALECTS)


def test_those_that_are_off_are_not_there(settings: Settings, start_with: Callable[[Settings], Server]) -> None:
    server = start_with(replace(settings, dialects=("native", "dls")))
    assert statuses(server) == {"native": 200, "nim": 404, "monailabel": 404, "nninteractive": 404, "dls": 200}
    for method, path in (("POST", "/claim"), ("POST", "/infer/prosect"), ("PUT", "/session/"), ("GET", "/train/")):
        assert server.http.request(method, path).status_code == 404


def test_no_two_protocols_have_the_same_call(server: Server) -> None:
    seen: dict[tuple[str, str], str] = {}
    for name, router in ROUTERS.items():
        for route in router(server.service).routes:
            for method in route.methods:  # type: ignore[attr-defined]
                call = (method, route.path)  # type: ignore[attr-defined]
                assert call not in seen, (name, seen.get(call))
                seen[call] = name
    assert len(seen) > 70


def test_a_last_slash_makes_no_difference_and_nobody_is_sent_elsewhere(server: Server) -> None:
    for path in ("/info", "/info/", "/datastore", "/datastore/", "/auth", "/auth/"):
        response = server.http.get(path, follow_redirects=False)
        assert response.status_code == 200, path
    assert server.http.put("/session", files={"x": b"y"}).status_code == 400
    assert server.http.put("/session/", files={"x": b"y"}, follow_redirects=False).status_code == 400


def test_a_body_that_is_announced_with_get_and_never_sent_is_not_waited_for(server: Server) -> None:
    for path in ("/info/", "/healthz", "/v2/models", "/capabilities", "/api/v1/capabilities", "/v1/vista3d/info"):
        connection = http.client.HTTPConnection("127.0.0.1", server.settings.port, timeout=20)
        connection.putrequest("GET", path)
        connection.putheader("Authorization", f"Bearer {TOKEN}")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "1000")
        connection.endheaders()
        assert connection.getresponse().status == 200, path
        connection.close()


def test_the_token_of_other_viewers_opens_their_paths_alone(server: Server) -> None:
    address = f"{server.address}/t/{server.settings.dialect_token}"
    for name, (method, path) in CALLS.items():
        status = httpx.request(method, address + path).status_code
        assert status == (401 if name == "native" else 200), name
    assert httpx.get(f"{server.address}/t/wrong/info/").status_code == 401
    assert httpx.get(f"{server.address}/t//info/").status_code == 401


def test_a_page_that_was_allowed_may_submit_and_others_may_not(
    settings: Settings, start_with: Callable[[Settings], Server]
) -> None:
    server = start_with(replace(settings, origins=("http://ohif.example:3000",)))
    path = f"{server.address}/t/{server.settings.dialect_token}/datastore/label?image=ct"
    asked = {"Access-Control-Request-Method": "PUT"}
    allowed = httpx.options(path, headers={**asked, "Origin": "http://ohif.example:3000"})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == "http://ohif.example:3000"
    assert "PUT" in allowed.headers["access-control-allow-methods"]
    assert httpx.options(path, headers={**asked, "Origin": "http://evil.example"}).status_code == 403
    info = f"{server.address}/t/{server.settings.dialect_token}/info/"
    page = {"Origin": "http://ohif.example:3000", "Sec-Fetch-Site": "cross-site"}
    assert httpx.get(info, headers=page).status_code == 200


def test_settings_that_cannot_be_are_refused(settings: Settings) -> None:
    for change in ({"dialects": ("dicom",)}, {"nninteractive_axes": "LRS"}, {"nninteractive_axes": "XYZ"}):
        with pytest.raises(UsageError):
            replace(settings, **change)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="this machine only"):
        replace(settings, host="0.0.0.0", open_dls=True)
    assert replace(settings, nninteractive_axes="SAR").nninteractive_axes == "SAR"


def test_sessions_of_other_viewers_are_on_the_page(server: Server) -> None:
    server.http.post("/infer/prosect?image=ct&output=json")
    (row,) = server.http.get("/api/v1/sessions").json()["sessions"]
    assert (row["dialect"], row["scan"]) == ("monailabel", "ct.nii.gz")
