"""Lists are read in every form people have them, and what their labels mean is never guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prosect import vocabulary
from prosect.data.datalist import DataList, Entry, Roots, read_datalist, split_as_published, write_datalist
from prosect.data.mapping import mapping_of, mark_new, with_new
from prosect.data.mapping_files import published_mappings, read_mappings
from prosect.data.mapping_pairs import parse_pair
from prosect.data.pairs import pair_files
from prosect.data.splits import published_split
from prosect.errors import FormatError, RecipeError, VocabularyError

WORDS = vocabulary.load("prosect")
LIVER, SPLEEN, LEFT_KIDNEY = 1, 3, 14


def official(tmp_path: Path, name: str = "Task09_5_folds.json", **more: Any) -> Path:
    """Write a list in the official form."""
    plain = {
        "training": [
            {"image": "img/a.nii.gz", "label": "lab/a.nii.gz", "pseudo_label": "img/a.nii.gz", "fold": 0,
             "pseudo_label_reliability": 1, "label_sv": "/elsewhere/sv/Task09_100/a/a_seg.nii.gz"},
            {"image": "img/b.nii.gz", "label": "lab/b.nii.gz", "pseudo_label": "img/b.nii.gz", "fold": 1,
             "pseudo_label_reliability": 0},
        ],
        "testing": [{"image": "img/c.nii.gz", "label": "lab/c.nii.gz"}],
        "training_transform": [{"_target_": "RandZoomd"}],
        "original_label_dict": {"1": "spleen", "2": "something else"},
        **more,
    }  # fmt: skip
    path = tmp_path / name
    path.write_text(json.dumps(plain))
    return path


def test_the_official_form_is_read_whole(tmp_path: Path) -> None:
    roots = Roots(Path("/data"), Path("/pseudo"), Path("/sv"))
    found = read_datalist(official(tmp_path), roots)
    a, b, c = found.entries
    assert (a.name, a.image, a.label) == ("a", Path("/data/img/a.nii.gz"), Path("/data/lab/a.nii.gz"))
    assert a.pseudo_label == Path("/pseudo/img/a.nii.gz")
    assert a.supervoxels == Path("/sv/Task09_100/a/a_seg.nii.gz"), "another machine's path, below our root"
    assert (a.fold, a.reliability, b.fold, b.reliability) == (0, 1.0, 1, 0.0)
    assert (c.split, c.fold) == ("testing", None)
    assert found.known(a) == (SPLEEN,)
    assert found.mapping(a).values == {1: SPLEEN, 2: None}, "values the list names and the mapping leaves out"


def test_pseudo_labels_with_the_path_of_their_image_need_a_root(tmp_path: Path) -> None:
    found = read_datalist(official(tmp_path))
    assert [entry.pseudo_label for entry in found] == [None, None, None]
    assert "2 pseudo-labels" in found.notes[0]


def test_a_fold_is_kept_for_validation(tmp_path: Path) -> None:
    found = read_datalist(official(tmp_path))
    assert [e.name for e in found.part("training", fold=0)] == ["b"]
    assert [e.name for e in found.part("validation", fold=0)] == ["a"]
    assert [e.name for e in found.part("training")] == ["a", "b"]
    assert [e.name for e in found.part("testing", fold=0)] == ["c"]
    with pytest.raises(RecipeError) as refused:
        found.part("validation", fold=4)
    assert refused.value.code == "DATALIST_INVALID"


def test_a_table_is_read_with_partial_labels(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text(
        "case\timage\tlabel\tsplit\tlabelled\none\ta.nrrd\tb.nrrd\ttraining\tliver|9\ntwo\tc.nrrd\td.nrrd\ttesting\t\n"
    )
    found = read_datalist(path, mappings={"default": [("1", "liver"), ("2", "spleen"), (9, "left kidney")]})
    one, two = found.entries
    assert (one.name, one.image, one.split, two.split) == ("one", tmp_path / "a.nrrd", "training", "testing")
    assert one.labelled == (1, 9)
    assert found.known(one) == (LIVER, LEFT_KIDNEY)
    assert found.known(two) == (LIVER, SPLEEN, LEFT_KIDNEY)


def test_a_folder_pairs_images_with_labels_by_name(tmp_path: Path) -> None:
    for place in ("imagesTr/p1_0000.nii.gz", "imagesTr/p2_0000.nii.gz", "labelsTr/p1.nii.gz", "labelsTr/p2.nii.gz"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    found = read_datalist(tmp_path, mappings={"default": [(1, "liver")]})
    assert [(e.name, e.label) for e in found] == [
        ("p1", tmp_path / "labelsTr/p1.nii.gz"), ("p2", tmp_path / "labelsTr/p2.nii.gz")
    ]  # fmt: skip
    (tmp_path / "labelsTr/p3.nii.gz").touch()
    with pytest.raises(RecipeError, match="no image belongs to"):
        read_datalist(tmp_path, mappings={"default": [(1, "liver")]})


def test_a_decathlon_list_is_read_by_its_names(tmp_path: Path) -> None:
    plain = {
        "labels": {"0": "background", "1": "liver", "2": "left_kidney"},
        "numTraining": 1,
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
        "test": ["./imagesTs/b.nii.gz"],
    }
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(plain))
    found = read_datalist(path)
    assert found.known(found.entries[0]) == (LIVER, LEFT_KIDNEY)
    assert (found.entries[1].name, found.entries[1].split, found.entries[1].label) == ("b", "testing", None)


@pytest.mark.parametrize(
    ("given", "own", "known"),
    [
        ({"Task09": [[1, "liver"]]}, [[1, "aorta"]], (LIVER,)),
        ({"default": [[1, "liver"]]}, [[1, "aorta"]], (LIVER,)),
        ({"other": [[1, "liver"]]}, [[1, 6]], (6,)),
        ({}, None, (SPLEEN,)),
    ],
)
def test_what_labels_mean_is_taken_from_the_nearest_source(tmp_path: Path, given: Any, own: Any, known: Any) -> None:
    more = {} if own is None else {"label_mapping": own}
    found = read_datalist(official(tmp_path, **more), mappings=given)
    assert found.known(found.entries[0]) == known


def test_an_absent_structure_is_known_of_too(tmp_path: Path) -> None:
    found = read_datalist(official(tmp_path, absent=["brain"]))
    assert found.known(found.entries[0]) == (SPLEEN, 22)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("not json", "DATALIST_INVALID"),
        ("[]", "DATALIST_INVALID"),
        ('{"training": []}', "DATALIST_INVALID"),
        ('{"trainig": [{"image": "a.nii"}]}', "DATALIST_INVALID"),
        ('{"training": [{"label": "a.nii"}]}', "DATALIST_INVALID"),
        ('{"training": [{"image": "a.nii", "lable": "b.nii"}]}', "DATALIST_INVALID"),
        ('{"training": [{"image": "a.nii", "fold": "x"}]}', "DATALIST_INVALID"),
        ('{"training": [{"image": "a.nii", "name": "n"}, {"image": "b.nii", "name": "n"}]}', "DATALIST_INVALID"),
        ('{"training": [{"image": "a.nii", "name": "../n"}]}', "DATALIST_INVALID"),
        ('{"training": [{"image": "a.nii", "label": "b.nii"}]}', "MAPPING_MISSING"),
        ('{"training": [{"image": "a.nii", "label": "b.nii"}], "label_mapping": [[1, "livr"]]}', "STRUCTURE_UNKNOWN"),
        ('{"training": [{"image": "a.nii", "label": "b.nii"}], "label_mapping": [[1, 1], [1, 3]]}', "MAPPING_INVALID"),
        ('{"training": [{"image": "a.nii", "label": "b.nii", "labelled": [7]}], "label_mapping": [[1, 1]]}',
         "LABELS_UNMAPPED"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_understood_is_refused(tmp_path: Path, content: str, code: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(content)
    with pytest.raises((RecipeError, VocabularyError)) as refused:
        read_datalist(path)
    assert refused.value.code == code


def test_a_misspelt_key_is_refused_with_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text('{"training": [{"image": "a.nii", "lable": "b.nii"}]}')
    with pytest.raises(RecipeError, match="is 'label' meant"):
        read_datalist(path)


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as refused:
        read_datalist(tmp_path / "none.json")
    assert refused.value.code == "INPUT_NOT_FOUND"


def test_files_of_one_name_in_many_folders_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("image\ns01/ct.nii.gz\ns02/ct.nii.gz\nother/mr.nii.gz\n")
    assert [entry.name for entry in read_datalist(path)] == ["s01_ct", "s02_ct", "mr"]


def test_a_list_is_written_as_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    found = read_datalist(official(tmp_path, absent=["brain"]), Roots(pseudo=tmp_path / "pseudo"))
    again = read_datalist(write_datalist(found, tmp_path / "sub" / "new.json"))
    assert [(e.name, e.image.resolve(), e.fold, e.split, e.reliability) for e in again] == [
        (e.name, e.image.resolve(), e.fold, e.split, e.reliability) for e in found
    ]
    assert again.mappings == found.mappings


def test_the_published_split_has_the_published_sizes() -> None:
    for scans, test in ((300, 60), (1000, 200), (27, 5), (197, 39), (303, 61), (374, 75), (140, 28), (210, 42)):
        places = published_split(scans)
        assert sum(split == "testing" for split, _ in places) == test
        folds = [sum(fold == n for _, fold in places) for n in range(5)]
        assert sum(folds) == scans - test
        assert max(folds) - min(folds) <= 1
    assert published_split(50) == published_split(50)
    assert published_split(50, seed=1) != published_split(50)


def test_a_list_is_split_each_set_for_itself() -> None:
    sets = (("a", 10), ("b", 20))
    entries = tuple(Entry(f"{name}{n}", Path("x"), dataset=name) for name, count in sets for n in range(count))
    found = split_as_published(DataList(entries, {}, WORDS))
    assert [sum(e.split == "testing" and e.dataset == name for e in found) for name in ("a", "b")] == [2, 4]


def test_the_papers_mappings_come_along() -> None:
    found = published_mappings()
    assert dict(found["Task07"]) == {1: 4, 2: 24}
    assert len(found["TotalSegmentatorV2"]) == 117
    assert all(WORDS[index].supported for pairs in found.values() for _, index in pairs)


def test_mappings_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"mine": [[1, "liver"], [2, null]]}')
    (tmp_path / "b.json").write_text('[[1, "liver"]]')
    (tmp_path / "c.tsv").write_text("value\tstructure\n1\tliver\n2\t\n")
    assert set(read_mappings(tmp_path / "a.json")) == {"mine"}
    assert mapping_of(read_mappings(tmp_path / "a.json")["mine"], WORDS).values == {1: LIVER, 2: None}
    assert mapping_of(read_mappings(tmp_path / "b.json")["default"], WORDS).values == {1: LIVER}
    assert mapping_of(read_mappings(tmp_path / "c.tsv")["default"], WORDS).values == {1: LIVER, 2: None}
    for content in ("1", "{", '{"a": 1}'):
        (tmp_path / "d.json").write_text(content)
        with pytest.raises(RecipeError):
            read_mappings(tmp_path / "d.json")


def test_a_typed_pair_may_map_to_nothing() -> None:
    assert mapping_of([parse_pair("1=left kidney"), parse_pair("2=")], WORDS).values == {1: LEFT_KIDNEY, 2: None}
    for text in ("3", "=liver", "-1=liver", "1.5=liver", "70000=liver"):
        with pytest.raises(RecipeError) as refused:
            mapping_of([parse_pair(text)], WORDS)
        assert refused.value.code == "MAPPING_INVALID"


@pytest.mark.parametrize("name", ["background", "Background", "unlabeled", "Clear Label", "-"])
def test_the_background_is_no_structure_to_learn(name: str) -> None:
    pairs = mark_new([("1", "liver"), ("2", name), ("0", name)], WORDS)
    words = with_new(WORDS, pairs)
    assert len(words) == len(WORDS)
    assert mapping_of(pairs, words).values == {1: LIVER, 2: None}


@pytest.mark.parametrize("pair", [("0", "liver"), (0, "+lesion"), ("0", 1)])
def test_a_structure_is_never_taught_by_the_value_0(pair: tuple[Any, Any]) -> None:
    with pytest.raises(RecipeError, match="0 is the background") as refused:
        mapping_of([pair, (1, "spleen")], with_new(WORDS, [pair]))
    assert refused.value.code == "MAPPING_INVALID"


def test_a_new_structure_is_named_as_new_and_never_by_mistake(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("image,label,labelled\na.nii,b.nii,kidney stone|liver\n")
    found = read_datalist(path, mappings={"default": [(1, "liver"), (2, "+kidney stone")]})
    new = found.vocabulary["kidney stone"]
    assert new.index > max(structure.index for structure in WORDS)
    assert found.known(found.entries[0]) == (LIVER, new.index)
    assert found.entries[0].labelled == (1, 2)
    again = read_datalist(write_datalist(found, tmp_path / "new.json"))
    assert again.mappings == found.mappings
    assert again.vocabulary["kidney stone"].index == new.index
    assert mapping_of([(1, "+liver")], WORDS).values == {1: LIVER}, "what is known already is not new"
    with pytest.raises(VocabularyError):
        read_datalist(path, mappings={"default": [(1, "liver"), (2, "kidney stone")]})


def test_new_names_that_differ_in_a_sign_are_two_and_in_a_capital_are_refused() -> None:
    words = vocabulary.load("vista3d-ct")
    pairs = [("1", "+HER2+ tumor"), ("2", "+HER2- tumor"), ("3", "+HER2+ tumor")]
    more = with_new(words, pairs)
    values = mapping_of(pairs, more).values
    assert values[1] == values[3] != values[2]
    pairs = [("1", "+a"), ("2", "+A")]
    with pytest.raises(RecipeError, match="are one name"):
        mapping_of(pairs, with_new(words, pairs))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_of_spreadsheets_are_read(separator: str, encoding: str, tmp_path: Path) -> None:
    path, mapping = tmp_path / "list.csv", tmp_path / "mapping.csv"
    path.write_text(f"image{separator}label\nä.nii.gz{separator}b.nii.gz\n", encoding=encoding)
    mapping.write_text(f"value{separator}structure\n1{separator}liver\n", encoding=encoding)
    found = read_datalist(path, mappings=read_mappings(mapping))
    (entry,) = found.entries
    assert (entry.image.name, entry.label) == ("ä.nii.gz", tmp_path / "b.nii.gz")
    assert found.known(entry) == (LIVER,)


def test_a_table_with_another_separator_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("image|label\na|b\n")
    with pytest.raises(RecipeError, match=r"no column `image`.*one column: 'image\|label'"):
        read_datalist(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_bytes("image,label\nä,b\n".encode("latin-1"))
    with pytest.raises(RecipeError, match="neither UTF-8 nor UTF-16"):
        read_datalist(tmp_path / "list.csv")


@pytest.mark.parametrize("image", ["p1.nii.gz", "p1.nrrd"])
def test_slicers_segmentation_belongs_to_the_scan_of_its_name(image: str, tmp_path: Path) -> None:
    for place in (f"images/{image}", "labels/p1.seg.nrrd"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    pairs = pair_files(tmp_path / "images", tmp_path / "labels", [(1, "liver")], WORDS)
    folder = read_datalist(tmp_path, mappings={"default": [(1, "liver")]})
    for found in (pairs, folder):
        assert [(e.name, e.label) for e in found] == [("p1", tmp_path / "labels/p1.seg.nrrd")]
