"""Tables of images as people write them: names of columns, separators, encodings, missing cells, numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from hybridq.config import Data, dump_experiment, parse_experiment
from hybridq.data.manifest import SPLITS, Manifest
from hybridq.data.sources import load_manifest
from hybridq.data.tables import plain_number, read_table
from hybridq.errors import UserError

Row = tuple[str, str, str, str]
ROWS: list[Row] = [
    (f"{number:02}.png", ("benign", "malignant")[number % 2], f"P{number // 4}", SPLITS[number // 4 % 3])
    for number in range(24)
]
"""Path, label, patient and split: four images of each of six patients."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, *_ in ROWS:
        Image.new("L", (8, 8)).save(tmp_path / path)
    return tmp_path


def write(folder: Path, header: str, rows: list[Row] = ROWS, *, separator: str = ",", encoding: str = "utf-8") -> Path:
    lines = [header, *(separator.join(row) for row in rows), ""]
    (folder / "m.csv").write_bytes("\n".join(lines).encode(encoding))
    return folder / "m.csv"


def load(file: Path, more: str = "", **keys: object) -> Manifest:
    source = f"manifest:path={file}{more}"
    return load_manifest(source, Data(source=source, **keys), seed=0)  # type: ignore[arg-type]


def as_written(manifest: Manifest) -> bool:
    """Whether labels, patients and splits are those of the file."""
    table = manifest.table
    labels = [manifest.classes[label] for label in table["label"]]
    rows = list(zip(table["id"], labels, table["group"], table["split"], strict=True))
    return rows == ROWS and manifest.groups == "patient"


@pytest.mark.parametrize(
    "header",
    [
        "path,label,patient,split",
        "path, label , patient, split ",
        "PATH,Label,PATIENT,Split",
        "File_Path,LABELS,patient_id,SPLIT",
        "image path,label,PatientID,split",
        "Image-Path,label,Patient ID,Splits",
    ],
)
def test_columns_are_found_by_their_aliases_in_any_case(folder: Path, header: str) -> None:
    manifest = load(write(folder, header))
    assert as_written(manifest)
    assert not any("not used" in note for note in manifest.notes)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_separators_and_encodings_are_recognised(folder: Path, separator: str, encoding: str) -> None:
    Image.new("L", (8, 8)).save(folder / "röntgen.png")
    rows = [*ROWS, ("röntgen.png", "benign", "P0", "train")]
    file = write(
        folder, separator.join(("path", "label", "patient", "split")), rows, separator=separator, encoding=encoding
    )
    manifest = load(file)
    assert manifest.table["id"].iloc[-1] == "röntgen.png"
    assert manifest.counts().sum().to_dict() == {"benign": 13, "malignant": 12}
    guessed = [note for note in manifest.notes if "was read as" in note]
    assert guessed == {
        "cp1252": ["m.csv was read as Windows-1252, since it is not UTF-8."],
        "utf-16-le": ["m.csv was read as UTF-16."],
        "utf-16-be": ["m.csv was read as UTF-16."],
    }.get(encoding, [])


def test_a_separator_named_by_a_spreadsheet_is_taken(folder: Path) -> None:
    assert as_written(load(write(folder, "sep=;\npath;label;patient;split", separator=";")))


def test_cells_with_another_separator_inside_stay_whole(folder: Path) -> None:
    rows = [(path, f'"{label}, sure; yes"', patient, split) for path, label, patient, split in ROWS]
    assert load(write(folder, "path,label,patient,split", rows)).classes == (
        "benign, sure; yes",
        "malignant, sure; yes",
    )


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "path,label,patient,PatientID",
            r"the columns patient, PatientID may each be the patient; name one in data\.col",
        ),
        ("path,label,group,patient", "the columns group, patient may each be the patient"),
        ("path,Label,label,split", "the columns Label, label may each be the label"),
        ("path,label,split,split", "the columns split, split may each be the split"),
        (
            "path,label,subject,split",
            r"the column subject looks like the patient; say .* \{patient: subject\} or \{subject: ig",
        ),
        ("path,label,CaseNo,split", "the column CaseNo looks like the patient"),
        ("path,label,anon_patient_hash,split", "the column anon_patient_hash looks like the patient"),
        ("path,label,patient,fold", r"the column fold looks like the split; .* \{split: fold\} or \{fold: ignore\}"),
        ("path,label,patient,cv_fold_index", "the column cv_fold_index looks like the split"),
        ("path,label,patient,usage", "the column usage looks like the split"),
        ("path,class,patient,split", "the column class looks like the label"),
        ("path,className,patient,split", "the column className looks like the label"),
        ("path,diagnosis,patient,split", "the column diagnosis looks like the label"),
        (
            "filename,label,patient,split",
            r"has no column path; .* this one has filename, label, patient, split; data\.columns",
        ),
    ],
)
def test_what_may_be_a_role_under_another_name_is_refused_by_name(folder: Path, header: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(write(folder, header))
    assert "\n" not in str(caught.value)


def test_other_columns_are_named_once_and_left_out(folder: Path) -> None:
    file = write(folder, "path,label,PatientAge,study_date", [(*row[:3], "2020") for row in ROWS])
    (note,) = [note for note in load(file).notes if "not used" in note]
    assert note == "m.csv: not used are PatientAge, study_date."


COLUMNS = {"path": "filename", "label": "dx", "patient": "subject", "split": "fold"}


def test_columns_are_mapped_by_the_configuration_or_by_the_name_of_the_source(folder: Path) -> None:
    file = write(folder, "filename,dx,subject,fold")
    assert as_written(load(file, columns=COLUMNS))
    by_name = load(file, ",image=filename,label=dx,patient=subject,split=fold")
    assert as_written(by_name)
    assert by_name.source == f"manifest:path={file},image=filename,label=dx,patient=subject,split=fold"
    assert as_written(load(file, ",label=dx,split=Fold", columns={"path": "FileName", "group": "subject"}))


def test_a_mapped_role_is_not_looked_for_elsewhere(folder: Path) -> None:
    rows = [(*row[:3], f"{row[3]},x") for row in ROWS]
    manifest = load(write(folder, "path,dx,patient,split,label", rows), columns={"label": "dx"})
    assert as_written(manifest)
    assert "m.csv: not used is label." in manifest.notes


def test_a_column_can_be_left_out(folder: Path) -> None:
    file = write(folder, "path,label,subject,split")
    for manifest in (load(file, columns={"Subject": "ignore"}), load(file, ",ignore=subject")):
        assert manifest.groups == "none"
        assert manifest.counts().to_numpy().tolist() == [[4, 4]] * 3
    drawn = load(write(folder, "path,label,patient,Split"), columns={"split": "ignore"})
    assert drawn.table["split"].tolist() != [row[3] for row in ROWS]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"patient": "patient", "group": "split"}, r"columns = \{group: split\}; a role or a column given twice"),
        ({"patient": "label", "label": "label"}, r"columns = \{label: label\}; a role or a column given twice"),
        ({"label": "grade"}, "has no column grade; it has path, label, patient, split"),
        ({"colour": "label"}, r"columns = \{colour: …\}; roles of a manifest: path, label, patient, split"),
        ({"id": "path"}, r"data.columns = \{id: …\}; manifest:.* has no table with such a column"),
    ],
)
def test_a_mapping_that_fits_nothing_is_refused(folder: Path, columns: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(write(folder, "path,label,patient,split"), columns=columns)


def test_a_mapping_may_be_of_the_split_manifest_alone(folder: Path) -> None:
    file = write(folder, "path,label,patient,split")
    (folder / "s.csv").write_text("\n".join(["image,split,fold", *(f"{row[0]},{row[3]},1" for row in ROWS)]))
    splits = str(folder / "s.csv")
    assert as_written(load(file, splits=splits, columns={"id": "image", "fold": "ignore"}))
    folder_source = f"folder:path={folder}"
    for columns, message in (
        ({"label": "image"}, r"s.csv: columns = \{label: …\}; roles of a split manifest: id, split, patient, cluster"),
        ({"id": "name"}, "s.csv: has no column name; it has image, split, fold"),
    ):
        data = Data(source=folder_source, splits=splits, columns=columns)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=message):
            load_manifest(folder_source, data, seed=0)


def test_a_mapping_is_refused_where_no_table_is_read(folder: Path) -> None:
    with pytest.raises(UserError, match=r"data.columns = \{label: …\}; synthetic:.* has no table"):
        load_manifest("synthetic", Data(source="synthetic", columns={"label": "dx"}), seed=0)  # type: ignore[arg-type]


def test_a_role_mapped_twice_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"label is given here and in data\.columns; give it once"):
        load(write(folder, "path,dx,patient,split"), ",label=dx", columns={"label": "dx"})


def test_the_configuration_with_columns_is_written_and_read_back() -> None:
    text = "{name: x, data: {source: a, columns: {label: [a, b], patient: subject, fold: ignore}, positive: 1}}"
    experiment = parse_experiment(text)
    assert experiment.data.columns == (("label", ("a", "b")), ("patient", ("subject",)), ("fold", ("ignore",)))
    assert experiment.data.positive == "1"
    assert parse_experiment(dump_experiment(experiment)) == experiment
    assert hash(experiment.data) == hash(experiment.data.model_copy())


@pytest.mark.parametrize("columns", ["[a]", "{label: }", "{label: true}", "{label: []}", "{label: [1.5]}", "label"])
def test_columns_of_another_form_are_refused_by_key(columns: str) -> None:
    with pytest.raises(UserError, match=r"data.columns = .*; expected"):
        parse_experiment(f"{{name: x, data: {{source: a, columns: {columns}}}}}")


def test_a_positive_class_that_yaml_takes_for_a_truth_value_is_text_or_refused() -> None:
    assert parse_experiment("{name: x, data: {source: a, positive: yes}}").data.positive == "yes"
    with pytest.raises(UserError, match=r"data.positive = True; true and false are no numbers and no texts"):
        parse_experiment("{name: x, data: {source: a, positive: true}}")


@pytest.mark.parametrize("missing", ["", "nan", "NaN", "NAN", "None", "NA", "<NA>", "n/a", "NULL"])
def test_a_missing_label_is_no_class(folder: Path, missing: str) -> None:
    rows = [(path, missing if number in (3, 8) else label, *more) for number, (path, label, *more) in enumerate(ROWS)]
    shown = missing or "empty"
    with pytest.raises(UserError, match=rf"2 of 24 images have no label \(row 4: {shown}, row 9: {shown}\); give"):
        load(write(folder, "path,label,patient,split", rows))  # type: ignore[arg-type]


def test_words_that_only_resemble_a_missing_label_are_classes(folder: Path) -> None:
    rows = [(path, ("none", "na")[label == "benign"], *more) for path, label, *more in ROWS]
    assert load(write(folder, "path,label,patient,split", rows)).classes == ("none", "na")  # type: ignore[arg-type]


def test_a_missing_patient_is_unknown_and_not_a_patient_called_nan(folder: Path) -> None:
    rows = [(*row[:2], ("nan", "None", "NA", row[2])[number % 4], row[3]) for number, row in enumerate(ROWS)]
    manifest = load(write(folder, "path,label,patient,split", rows))
    assert set(manifest.table["group"]) == {"", *(f"P{number}" for number in range(6))}
    assert any(note.startswith("18 of 24 images name no patient") for note in manifest.notes)


def test_whole_numbers_are_the_same_with_and_without_a_fraction(folder: Path) -> None:
    rows = [
        (path, ("0", "1", "0.0", "1.0")[number % 4], f"{number // 4}{('', '.0')[number % 2]}", split)
        for number, (path, _, _, split) in enumerate(ROWS)
    ]
    manifest = load(write(folder, "path,label,patient,split", rows))
    assert manifest.classes == ("0", "1")
    assert manifest.counts().to_numpy().tolist() == [[4, 4]] * 3
    assert set(manifest.table["group"]) == {str(number) for number in range(6)}


@pytest.mark.parametrize(
    ("text", "plain"),
    [("1.0", "1"), ("-2.00", "-2"), ("1,0", "1"), ("1.5", "1.5"), ("10", "10"), ("v1.0", "v1.0"), ("01.0", "01")],
)
def test_only_a_fraction_of_zero_is_left_out(text: str, plain: str) -> None:
    assert plain_number(text) == plain


def test_classes_that_differ_in_case_only_are_refused(folder: Path) -> None:
    rows = [(row[0], "Benign" if number == 4 else row[1], *row[2:]) for number, row in enumerate(ROWS)]
    with pytest.raises(UserError, match="the classes Benign and benign differ in case only"):
        load(write(folder, "path,label,patient,split", rows))  # type: ignore[arg-type]


def test_splits_are_known_by_other_words(folder: Path) -> None:
    words = {"train": "TRAINING", "validation": "Dev", "test": "testing"}
    rows = [(*row[:3], words[row[3]]) for row in ROWS]
    assert as_written(load(write(folder, "path,label,patient,split", rows)))


def test_a_parquet_table_is_read_alike(folder: Path) -> None:
    table = pd.DataFrame(ROWS, columns=["Path", "Label", "PatientID", "Split"])
    table.to_parquet(folder / "m.parquet")
    assert as_written(load(folder / "m.parquet"))
    table.assign(Label=[None, *range(23)]).to_parquet(folder / "m.parquet")
    with pytest.raises(UserError, match=r"1 of 24 images has no label \(row 1: empty\)"):
        load(folder / "m.parquet")


def test_an_index_that_pandas_wrote_is_named(folder: Path) -> None:
    pd.DataFrame(ROWS, columns=["path", "label", "patient", "split"]).to_csv(folder / "m.csv")
    manifest = load(folder / "m.csv")
    assert as_written(manifest)
    assert "m.csv: not used is (without a name)." in manifest.notes


def test_a_split_manifest_is_read_alike(folder: Path) -> None:
    file = write(folder, "path,label,patient,split")
    lines = ["ID;Patient_ID;Split", *(f"{row[0]};{row[2]}.0;{row[3].upper()}" for row in ROWS)]
    (folder / "splits.csv").write_text("\n".join(lines), encoding="utf-16")
    source = f"manifest:path={file},ignore=split"
    manifest = load_manifest(source, Data(source=source, splits=str(folder / "splits.csv")), seed=0)
    assert manifest.table["split"].tolist() == [row[3] for row in ROWS]
    assert manifest.groups == "patient"
    (folder / "splits.csv").write_text((folder / "splits.csv").read_text("utf-16").replace("Patient_ID", "case"))
    with pytest.raises(UserError, match=r"splits\.csv: the column case looks like the patient"):
        load_manifest(source, Data(source=source, splits=str(folder / "splits.csv")), seed=0)
    mapped = Data(source=source, splits=str(folder / "splits.csv"), columns={"cluster": "case"})  # type: ignore[arg-type]
    assert load_manifest(source, mapped, seed=0).table["group"].tolist() == [row[2] for row in ROWS]


def test_a_split_manifest_that_names_no_patients_keeps_those_of_the_source(folder: Path) -> None:
    source = f"manifest:path={write(folder, 'path,label,patient,split')}"
    splits = folder / "splits.csv"
    splits.write_text("\n".join(["id,split", *(f"{row[0]},{row[3]}" for row in ROWS)]))
    assert as_written(load_manifest(source, Data(source=source, splits=str(splits)), seed=0))
    splits.write_text("\n".join(["id,split", *(f"{row[0]},{SPLITS[n // 2 % 3]}" for n, row in enumerate(ROWS))]))
    with pytest.raises(UserError, match="6 patients with images in more than one split"):
        load_manifest(source, Data(source=source, splits=str(splits)), seed=0)


def test_what_a_finished_run_was_made_of_is_not_judged(folder: Path) -> None:
    rows = [(path, "nan" if number == 3 else label, *more) for number, (path, label, *more) in enumerate(ROWS)]
    file = write(folder, "path,label,subject,Split", rows)  # type: ignore[arg-type]
    source = f"manifest:path={file}"
    with pytest.raises(UserError):
        load_manifest(source, Data(source=source), seed=0)
    found = load_manifest(source, Data(source=source), seed=0, classes=("benign", "malignant", "nan"), again=True)
    assert found.table["id"].tolist() == [row[0] for row in ROWS]
    assert found.classes == ("benign", "malignant", "nan")


def test_a_table_says_which_columns_it_found(folder: Path) -> None:
    table = read_table(write(folder, "path,Label,patient_id,split"), ("path",), what="a table", optional=("label",))
    assert table.columns == {"path": ("path",), "label": ("Label",)}
    assert table.notes == ("m.csv: not used are patient_id, split.",)
