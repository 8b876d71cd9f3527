"""MONAI Label's own client, which Slicer's plug-in is built on, and what Slicer and OHIF make of the answers."""

from __future__ import annotations

import gzip
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import prosect
from prosect.server.shelf import Shelf
from worlds.serving import RADIUS_MM, TOKEN, Server, ball

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the client imports `cgi`
    theirs = pytest.importorskip(
        "monailabel.client.client",
        reason="pip install --no-deps monailabel; its client needs Python up to 3.12",
        exc_type=ImportError,
    )

# The client leaves its connections open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

LIVER, SPLEEN = 1, 3


def client_of(server: Server, folder: Path) -> Any:
    """A client that has logged in, as Slicer does: any name, and the token as the password."""
    client = theirs.MONAILabelClient(server.address, tmpdir=str(folder), client_id="user-1")
    assert client.auth_enabled()
    client.update_auth(client.auth_token("anybody", TOKEN))
    assert client.auth_valid_token()
    return client


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Any:
    """A client that has logged in."""
    return client_of(server, tmp_path)


def slicer_masks(label_file: str, names: dict[str, int]) -> dict[str, np.ndarray]:
    """What Slicer paints: value n of the file goes into the segment with the n-th name."""
    array = prosect.read_labels(label_file).array
    ordered = sorted((name for name in names if name != "background"), key=lambda name: names[name])
    return {name: np.asarray(array) == place for place, name in enumerate(ordered, start=1)}


def expected(scans: Path, voxel: Any, radius: float = RADIUS_MM) -> np.ndarray:
    """The ball that the model answers to a click."""
    grid = prosect.read(scans / "ct.nii.gz").grid
    return ball(grid, grid.to_world(np.asarray(voxel, dtype=float)), radius)


def draft(scans: Path) -> np.ndarray:
    """What the model finds by itself."""
    grid = prosect.read(scans / "ct.nii.gz").grid
    return ball(grid, grid.to_world(np.asarray(grid.shape) / 2), 10.0)


def test_a_wrong_password_is_refused(server: Server, tmp_path: Path) -> None:
    client = theirs.MONAILabelClient(server.address, tmpdir=str(tmp_path))
    with pytest.raises(theirs.MONAILabelClientException) as caught:
        client.auth_token("anybody", "wrong")
    assert caught.value.status_code == 401
    client.update_auth({"token_type": "bearer", "access_token": "wrong"})
    assert not client.auth_valid_token()
    with pytest.raises(theirs.MONAILabelClientException):
        client.info()


def test_a_token_in_the_address_needs_no_login(server: Server, tmp_path: Path) -> None:
    address = f"{server.address}/t/{server.settings.dialect_token}"
    client = theirs.MONAILabelClient(address, tmpdir=str(tmp_path))
    assert not client.auth_enabled()
    assert client.info()["name"] == "prosect"
    _, said = client.infer("prosect", "ct", {"label_prompt": [LIVER]})
    assert said["label_names"] == {"liver": 1}


def test_what_a_login_gives_opens_no_files(server: Server, client: Any) -> None:
    assert client._headers["Authorization"] == f"bearer {server.settings.dialect_token}"


def test_the_server_says_what_slicer_looks_for(client: Any) -> None:
    info = client.info()
    assert "config" not in info
    assert next(iter(info["models"])) == "prosect"
    assert {name: model["type"] for name, model in info["models"].items()} == {
        "prosect": "segmentation",
        "prosect-click": "deepgrow",
        "prosect-vista": "vista3d",
    }
    for model in info["models"].values():
        assert model["labels"]["liver"] == LIVER
        assert isinstance(model["config"], dict)
    assert info["datastore"] == {"total": 1, "completed": 0, "label_tags": {}}
    assert client.train_status(True) is False


def test_what_is_not_done_for_a_web_request_is_refused_in_a_sentence(client: Any, server: Server) -> None:
    for ask in (lambda: client.train_start("model", {}), client.train_stop, client.train_status):
        with pytest.raises(theirs.MONAILabelClientException) as caught:
            ask()
        assert "Status: 404" in str(caught.value)
        assert "prosect finetune" in str(caught.value)
    for path in (
        "/batch/infer/prosect",
        "/scoring/dice",
        "/model/prosect",
        "/logs/",
        "/logs/gpu",
        "/proxy/dicom/x",
        "/ohif/",
    ):
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = server.http.request(method, path)
            assert (answer.status_code, list(answer.json())) == (404, ["detail"]), path


def test_slicer_paints_each_structure_into_its_own_segment(client: Any, scans: Path) -> None:
    # The spleen is not found, and the liver has index 1; asked in this order the liver must still be liver.
    file, said = client.infer("prosect", "ct", {"label_prompt": [SPLEEN, LIVER], "result_extension": ".nrrd"})
    assert sorted(said["label_names"].values()) == [1, 2]
    masks = slicer_masks(file, said["label_names"])
    np.testing.assert_array_equal(masks["liver"], draft(scans))
    assert not masks["spleen"].any()


def test_slicer_paints_right_where_the_only_structure_has_a_high_index(client: Any, scans: Path) -> None:
    click = {"label": "spleen", "foreground": [[20, 18, 14]], "reset_state": True}
    client.infer("prosect-click", "ct", click)
    file, said = client.infer("prosect", "ct", {"label_prompt": [SPLEEN]})
    masks = slicer_masks(file, said["label_names"])
    np.testing.assert_array_equal(masks["spleen"], expected(scans, (20, 18, 14)))


def test_clicks_are_the_whole_set_and_fewer_of_them_undo(client: Any, scans: Path) -> None:
    def click(*voxels: list[int], background: Any = ()) -> np.ndarray:
        params = {"label": "spleen", "foreground": list(voxels), "background": list(background), "from": "none"}
        file, said = client.infer("prosect-click", "ct", params)
        assert said["label_names"] == {"spleen": 1}
        return slicer_masks(file, said["label_names"])["spleen"]

    first = click([12, 18, 14])
    np.testing.assert_array_equal(first, expected(scans, (12, 18, 14)))
    np.testing.assert_array_equal(click([12, 18, 14], [28, 20, 14]), first | expected(scans, (28, 20, 14)))
    np.testing.assert_array_equal(click([12, 18, 14], [28, 20, 14]), first | expected(scans, (28, 20, 14)))
    np.testing.assert_array_equal(click([12, 18, 14]), first)
    less = click([12, 18, 14], background=[[19, 18, 14]])
    np.testing.assert_array_equal(less, first & ~expected(scans, (19, 18, 14)))
    assert not click().any()


def test_a_class_is_found_first_and_then_corrected(client: Any, scans: Path) -> None:
    file, said = client.infer("prosect-click", "ct", {"label": "liver", "foreground": [[5, 5, 5]]})
    mask = slicer_masks(file, said["label_names"])["liver"]
    np.testing.assert_array_equal(mask, draft(scans) | expected(scans, (5, 5, 5)))


def test_a_name_that_nobody_knows_is_an_object_of_its_own(client: Any, scans: Path) -> None:
    file, said = client.infer("prosect-click", "ct", {"label": "my lesion", "foreground": [[20, 18, 14]]})
    assert said["label_names"] == {"my lesion": 1}
    np.testing.assert_array_equal(slicer_masks(file, said["label_names"])["my lesion"], expected(scans, (20, 18, 14)))


@pytest.mark.parametrize(
    ("model", "params", "status", "words"),
    [
        ("nothing", {}, 404, "no model"),
        ("prosect-click", {"label": "my lesion"}, 422, "No click"),
        ("prosect-click", {"label": "my lesion", "background": [[1, 1, 1]]}, 422, "Only negative"),
        ("prosect-click", {"label": "liver", "foreground": [[99, 1, 1]]}, 422, "outside"),
        ("prosect-click", {"label": "liver", "foreground": [[1, 1]]}, 400, "three numbers"),
        ("prosect-click", {"label": "kidney", "foreground": [[1, 1, 1]]}, 422, "group"),
        ("prosect-vista", {"points": [[1, 1, 1]], "point_labels": [1], "label_prompt": []}, 422, "one structure"),
        ("prosect-vista", {"points": [[1, 1, 1]], "point_labels": [1], "label_prompt": [0]}, 422, "one structure"),
        ("prosect-vista", {"points": [[1, 1, 1]], "point_labels": [1], "label_prompt": [1, 3]}, 422, "one structure"),
        ("prosect-vista", {"points": [[1, 1, 1]], "point_labels": [], "label_prompt": [1]}, 400, "point_labels"),
        ("prosect", {"label_prompt": "liver"}, 400, "indices"),
        ("prosect", {"label_prompt": [LIVER], "result_extension": ".exe"}, 422, "format"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(
    server: Server, model: str, params: dict[str, Any], status: int, words: str
) -> None:
    response = server.http.post(f"/infer/{model}?image=ct", files={"params": (None, json.dumps(params))})
    assert response.status_code == status
    assert words in response.json()["detail"]


def test_an_image_that_is_not_here_is_refused(server: Server) -> None:
    assert server.http.post("/infer/prosect?image=nothing").status_code == 404
    assert server.http.post("/infer/prosect?image=1.2.840.1").status_code == 404
    assert server.http.post("/infer/prosect").status_code == 422
    assert server.http.post("/infer/prosect?session_id=nothing").status_code == 404


def test_a_session_on_a_scan_that_is_sent(client: Any, scans: Path, server: Server) -> None:
    made = client.create_session(str(scans / "ct.nii.gz"))
    identity = made["session_id"]
    assert client.get_session(identity)["image"] == "ct.nii.gz"
    file, said = client.infer("prosect", "", {"label_prompt": [LIVER]}, session_id=identity)
    np.testing.assert_array_equal(slicer_masks(file, said["label_names"])["liver"], draft(scans))
    assert str(server.settings.work) not in json.dumps(made)
    client.remove_session(identity)
    with pytest.raises(theirs.MONAILabelClientException) as caught:
        client.get_session(identity)
    assert caught.value.status_code == 404


def test_a_scan_is_taken_under_the_header_of_the_form_before(client: Any, scans: Path) -> None:
    # Once it has logged in, the client keeps the header of its last form, and a session's form has another boundary.
    client.infer("prosect", "ct", {"label_prompt": [LIVER]})
    assert "lImIt" in client._headers["content-type"]
    identity = client.create_session(str(scans / "ct.nii.gz"))["session_id"]
    assert client.get_session(identity)["image"] == "ct.nii.gz"
    file, said = client.infer("prosect", "", {"label_prompt": [LIVER]}, session_id=identity)
    np.testing.assert_array_equal(slicer_masks(file, said["label_names"])["liver"], draft(scans))


def test_a_file_may_be_sent_with_the_question(client: Any, scans: Path) -> None:
    file, said = client.infer("prosect", "", {"label_prompt": [LIVER]}, file=str(scans / "ct.nii.gz"))
    np.testing.assert_array_equal(slicer_masks(file, said["label_names"])["liver"], draft(scans))


def test_an_image_that_is_sent_is_offered_to_all(client: Any, scans: Path, server: Server) -> None:
    assert client.upload_image(str(scans / "ct.nii.gz"), "my scan") == {"image": "my scan"}
    everything = server.http.get("/datastore/?output=all").json()["objects"]
    assert set(everything) == {"ct", "my scan"}
    content = server.http.get("/datastore/image?image=my+scan").content
    np.testing.assert_array_equal(
        np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(content)).dataobj),
        prosect.read(scans / "ct.nii.gz").array,
    )
    assert client.infer("prosect", "my scan", {"label_prompt": [LIVER]})[1]["label_names"] == {"liver": 1}


def test_the_image_is_given_out_byte_for_byte(server: Server, scans: Path) -> None:
    response = server.http.get("/datastore/image?image=ct")
    assert response.content == (scans / "ct.nii.gz").read_bytes()
    assert 'filename="ct.nii.gz"' in response.headers["content-disposition"]
    head = server.http.head("/datastore/image?image=ct")
    assert (head.status_code, head.content) == (200, b"")
    assert server.http.get("/datastore/image?image=../ct").status_code == 404


def test_a_label_is_submitted_comes_back_and_ends_the_row_of_samples(client: Any, scans: Path, tmp_path: Path) -> None:
    assert client.next_sample("first", {})["id"] == "ct"
    file, said = client.infer("prosect", "ct", {"label_prompt": [LIVER]})
    info = [{"name": name, "idx": value} for name, value in said["label_names"].items()]
    assert client.save_label("ct", file, params={"label_info": info}) == {"image": "ct", "label": "ct"}
    back = client.download_label("ct", "final")
    np.testing.assert_array_equal(prosect.read_labels(back).array, prosect.read_labels(file).array)
    assert client.next_sample("first", {}) == {}
    assert client.info()["datastore"] == {"total": 1, "completed": 1, "label_tags": {"final": 1}}
    with pytest.raises(theirs.MONAILabelClientException):
        client.download_label("ct", "nothing")
    wrong = tmp_path / "wrong.nii.gz"
    nib.Nifti1Image(np.ones((3, 3, 3), np.uint8), np.eye(4)).to_filename(wrong)
    with pytest.raises(theirs.MONAILabelClientException, match="shape"):
        client.save_label("ct", str(wrong))


def test_a_client_that_announces_a_body_with_get_is_answered_at_once(client: Any) -> None:
    client.infer("prosect", "ct", {"label_prompt": [LIVER]})
    assert "content-length" in client._headers  # it goes on sending this with every GET
    began = time.monotonic()
    client.info()
    assert client.auth_valid_token()
    assert client.train_status(True) is False
    assert time.monotonic() - began < 20  # the client itself would wait for ever


def test_sessions_and_labels_survive_the_server(
    start: Callable[..., Server], shelf: Shelf, tmp_path: Path, scans: Path
) -> None:
    client = client_of(start(shelf), tmp_path)
    identity = client.create_session(str(scans / "ct.nii.gz"))["session_id"]
    first = {"label": "spleen", "foreground": [[12, 18, 14]], "from": "none"}
    file, _ = client.infer("prosect-click", "", first, session_id=identity)
    client.save_label("ct", file)
    client.set_server_url(start(shelf).address)
    both = {"label": "spleen", "foreground": [[12, 18, 14], [28, 20, 14]], "from": "none"}
    file, said = client.infer("prosect-click", "", both, session_id=identity)
    np.testing.assert_array_equal(
        slicer_masks(file, said["label_names"])["spleen"],
        expected(scans, (12, 18, 14)) | expected(scans, (28, 20, 14)),
    )
    assert client.info()["datastore"]["completed"] == 1


def raw_nrrd(content: bytes) -> tuple[dict[str, str], np.ndarray]:
    """What OHIF reads: the fields, and the voxels with i fastest, whatever the geometry says."""
    text, _, payload = content.partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in text.decode().splitlines()[1:])
    assert (fields["type"], fields["encoding"]) == ("uint8", "raw")
    sizes = [int(size) for size in fields["sizes"].split()]
    return fields, np.frombuffer(payload, dtype=np.uint8).reshape(sizes, order="F")


def ohif(server: Server, params: dict[str, Any], model: str = "prosect-vista") -> np.ndarray:
    """The voxels of an answer, asked as OHIF does."""
    said = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False, **params}
    response = server.http.post(
        f"/infer/{model}?image=ct&output=image", files={"params": (None, json.dumps({**said, "client_id": None}))}
    )
    assert response.status_code == 200, response.text
    return raw_nrrd(response.content)[1]


def test_ohif_gets_the_indices_of_the_model(server: Server, scans: Path) -> None:
    table = server.http.get("/info/").json()["models"]["prosect-vista"]["labels"]
    found = ohif(server, {"label_prompt": [table["spleen"], table["liver"]], "restore_label_idx": False})
    np.testing.assert_array_equal(found, draft(scans) * table["liver"])
    points = {"points": [[5, 5, 5], [20, 18, 14]], "point_labels": [1, 0], "label_prompt": [table["spleen"]]}
    mask = expected(scans, (5, 5, 5)) & ~expected(scans, (20, 18, 14))
    clicked = ohif(server, points)
    assert set(np.unique(clicked)) == {0, table["spleen"]}
    np.testing.assert_array_equal(clicked > 0, mask)
    said = server.http.post("/infer/prosect?image=ct&output=json", json={"label_prompt": [LIVER]}).json()
    assert said["label_names"] == {"liver": 1}


def test_ohif_submits_voxels_without_a_header(server: Server, scans: Path, tmp_path: Path) -> None:
    scan = prosect.read(scans / "ct.nii.gz")
    labels = np.random.default_rng(1).integers(0, 4, scan.grid.shape).astype(np.uint8)
    info = {"label_info": [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 3}]}
    files = {
        "params": (None, json.dumps(info)),
        "label": ("label.bin", labels.tobytes(order="F"), "application/octet-stream"),
    }
    assert server.http.put("/datastore/label?image=ct", files=files).status_code == 200
    back = tmp_path / "back.nii.gz"
    back.write_bytes(server.http.get("/datastore/label?label=ct&tag=final").content)
    read = prosect.read_labels(back)
    np.testing.assert_array_equal(read.array, labels)
    np.testing.assert_allclose(read.grid.affine, scan.grid.affine, atol=1e-5)
    files["label"] = ("label.bin", b"\x00" * 7, "application/octet-stream")
    assert server.http.put("/datastore/label?image=ct", files=files).status_code == 422
