"""The entry: help is light, every way to end has its code, and no command ends with a traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prosect.cli import main as entry
from prosect.cli.main import main

HEAVY = ("torch", "monai", "nibabel", "matplotlib", "numpy", "scipy", "skimage", "pydicom", "rich")
PROBE = """
import sys
from prosect.cli.main import main
status = main(sys.argv[1:])
print("LOADED", sorted({name.split(".")[0] for name in sys.modules} & set(%r)))
sys.exit(status)
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(entry.__file__).parents[2])}


def python(*words: str, code: str = PROBE % (HEAVY,)) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *words], env=ENVIRONMENT, capture_output=True, text=True)


@pytest.mark.parametrize(
    "words", [["--help"], ["segment", "--help"], ["--version"], ["weights", "import", "--help"], ["doctor", "-h"], []]
)
def test_help_and_version_load_nothing_heavy(words: list[str]) -> None:
    done = python(*words)
    assert "LOADED []" in done.stdout, done
    assert done.returncode == (0 if words else 2)


def test_words_in_capitals_stay_so_in_descriptions(run) -> None:
    assert "series of a PACS" in run("pacs", "--help")[1]


def test_help_names_every_command_and_the_research_limit() -> None:
    said = python("--help").stdout
    for word in ("segment", "info", "labels", "weights", "doctor", "--version", "Research use only"):
        assert word in said


def test_labels_load_no_torch() -> None:
    done = python("labels", "prosect", "--json", code=PROBE % (("torch", "monai"),))
    assert done.returncode == 0
    assert "LOADED []" in done.stdout


def test_sigterm_ends_cleanly_with_143(tmp_path: Path) -> None:
    code = (
        "import sys, time, types, prosect.cli.commands.info as info\n"
        "def wait(args):\n    print('ready', flush=True)\n    time.sleep(30)\n"
        "info.run = wait\n"
        "from prosect.cli.main import main\n"
        "sys.exit(main(['info', 'x']))\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    begin = time.perf_counter()
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=10)
    assert child.returncode == 143
    assert time.perf_counter() - begin < 5
    assert err.startswith("prosect: terminated")
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [["labels", "prosect"], ["labels", "prosect", "--json"]])
def test_a_reader_that_leaves_is_no_bug(words: list[str]) -> None:
    """`prosect labels | true`: the pipe is closed before anything is read from it."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "prosect.cli.main", *words]
    done = subprocess.run(command, env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_our_warnings_are_one_line_and_quiet_hides_them(monkeypatch, capsys) -> None:
    import warnings

    from prosect.cli.commands import info
    from prosect.errors import ProsectWarning

    def warn(args: object) -> int:
        warnings.warn("first\nsecond", ProsectWarning, stacklevel=1)
        warnings.warn("a library's own business", UserWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(info, "run", warn)
    assert main(["info", "x"]) == 0
    assert capsys.readouterr().err == "prosect: warning: first second\n"


def test_info_prints_geometry_and_no_path(run, scan_path) -> None:
    status, out, err = run("info", scan_path)
    assert (status, err) == (0, "")
    for word in ("scan.nii.gz", "12  10  8", "RAS", "-1000", "nifti"):
        assert word in out
    assert str(scan_path.parent) not in out


def test_a_name_the_terminal_cannot_show_is_no_error(scan_path: Path) -> None:
    place = scan_path.rename(scan_path.with_name("Zürich 画像.nii.gz"))
    ascii_only = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "prosect.cli.main", "info", str(place)]
    done = subprocess.run(command, env=ascii_only, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"Z\?+rich", done.stdout)


def test_info_as_json_is_json(run, scan_path) -> None:
    facts = json.loads(run("info", scan_path, "--json")[1])
    assert facts["shape"] == [12, 10, 8]
    assert facts["spacing_mm"] == [3.0, 3.0, 5.0]
    assert len(facts["sha256"]) == 64


def test_info_on_rubbish_is_exit_3_in_one_line(run, tmp_path) -> None:
    (tmp_path / "a.nii").write_bytes(b"rubbish" * 100)
    status, out, err = run("info", tmp_path / "a.nii")
    assert (status, out) == (3, "")
    assert err.startswith("prosect: error [INPUT_")
    assert err.count("\n") == 1


def test_labels_list_every_structure(run) -> None:
    status, out, _ = run("labels", "prosect")
    assert status == 0
    assert "mandible" in out
    rows = json.loads(run("labels", "prosect", "--json")[1])
    assert {row["name"]: row["index"] for row in rows}["left kidney"] == 14
    kidney = next(row for row in rows if row["name"] == "left kidney")
    assert "kidney" in kidney["groups"]


def test_labels_show_only_what_a_shipped_model_was_trained_for(run) -> None:
    out = run("labels", "prosect-small")[1]
    assert "mandible" in out
    assert "spleen" not in out
    assert "9 structures can be segmented" in out
    assert "spleen" in run("labels", "prosect-small", "--all")[1]


def test_labels_of_no_model_are_those_of_all_that_are_shipped(run) -> None:
    out = run("labels")[1]
    assert "mandible" in out
    assert "spleen" in out


def test_labels_of_an_official_model_need_no_weights(run) -> None:
    assert "hepatic tumor" in run("labels", "vista3d")[1]


def test_labels_of_an_unknown_model_are_refused(run) -> None:
    status, _, err = run("labels", "vista4d")
    assert status == 6
    assert err.count("\n") == 1


def test_doctor_reports_a_broken_check_instead_of_breaking(run, monkeypatch) -> None:
    from prosect.cli.commands import doctor

    def broken() -> object:
        raise OSError("no such\nthing")

    monkeypatch.setattr(doctor, "CHECKS", ((doctor.python, 5), (broken, 5)))
    status, out, err = run("doctor")
    assert (status, err) == (5, "")
    assert "OSError: no such thing" in out
    assert "python" in out.split(), "the checks that work are still reported"


def test_doctor_names_what_is_installed_and_what_decodes(run) -> None:
    status, out, _ = run("doctor")
    told = " ".join(out.split())
    assert status == 0
    assert "scipy" in told
    assert "SimpleITK" not in told
    assert "GDCM" not in told
    for name in ("lossless JPEG", "RLE", "JPEG-LS", "JPEG 2000"):
        assert f"DICOM {name} ok can be decoded" in told


def test_doctor_names_the_package_that_a_compression_lacks(run, monkeypatch) -> None:
    from prosect.io.dicom import pixels

    monkeypatch.setitem(pixels.PLUGINS, pixels.JPEGLSLossless, ("absent", "pyjpegls"))
    status, out, _ = run("doctor")
    told = " ".join(out.split())
    assert status == 0
    assert "DICOM JPEG-LS note cannot be decoded; install pyjpegls" in told


@pytest.mark.parametrize("words", [("segment", "", "-o", "x.nii.gz"), ("segment", "x.nii.gz", "-o", ""), ("info", "")])
def test_an_empty_word_is_not_the_current_folder(run, words, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = run(*words)
    assert status == 2
    assert "empty" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="limits of addresses are of Linux")
def test_a_library_that_fails_near_the_limit_of_addresses_ran_out_of_memory() -> None:
    code = (
        "import resource, psutil; from prosect.cli.main import ran_short\n"
        "first = ran_short(); used = psutil.Process().memory_info().vms\n"
        "for more in (1 << 30, 16 << 20):\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.RLIM_INFINITY)); print(ran_short())\n"
        "print(first)"
    )
    assert python(code=code).stdout.split() == ["False", "True", "False"]


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["labels", "no-such-model"], ["segment"]])
def test_the_module_is_the_command(words: list[str], run) -> None:
    status, out, err = run(*words)
    command = [sys.executable, "-m", "prosect", *words]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)


def test_what_can_be_typed_is_what_there_is() -> None:
    """The words are repeated so that `--help` loads no model; here they are held to what they choose from."""
    from typing import get_args, get_type_hints

    from prosect.cli.arguments import evaluate, groups
    from prosect.evaluation.clickers import RULES
    from prosect.evaluation.running import PROTOCOLS
    from prosect.jobs import EvaluateJob
    from prosect.models.spec import PROFILES

    assert tuple(PROFILES) == groups.PROFILES
    assert set(evaluate.RULES) == set(RULES)
    assert (*PROTOCOLS, "fewshot", "masks", "compare") == evaluate.PROTOCOLS
    hints = get_type_hints(EvaluateJob)
    assert get_args(hints["protocol"]) == PROTOCOLS
    assert get_args(get_args(hints["split"])[0]) == evaluate.SPLITS
