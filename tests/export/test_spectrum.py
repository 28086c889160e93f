"""spectrum.csv of a run, and what is drawn of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from tiny import quietly

from hybridq.errors import UserError
from hybridq.export.export import Targets, export
from hybridq.figures.spectrum import COLUMNS, MOST_DRAWN, read_spectrum, spectrum_figure, strength_by_order
from hybridq.run_folder import open_run


def export_layer(folder: Path, backend: str) -> None:
    export(open_run(folder), Targets(surrogate=folder.parent / "q.pt2"), backend=backend, progress=quietly)


def table(*rows: tuple[str, int, str, int, float]) -> pd.DataFrame:
    """Rows of spectrum.csv without sines."""
    return pd.DataFrame([(*row, row[-1], 0.0) for row in rows], columns=COLUMNS)


def test_the_spectrum_is_kept_by_backend_as_long_as_the_weights_are_the_same(run_folder: Path) -> None:
    folder = run_folder / "surrogate"
    export_layer(run_folder, "noise:readout=0.1")
    first = read_spectrum(folder / "spectrum.csv")
    export_layer(run_folder, "noise:depolarizing_2q=0.1")
    both = read_spectrum(folder / "spectrum.csv")
    assert tuple(both.columns) == COLUMNS
    assert set(both["backend"]) == {"aer", "noise:readout=0.1", "noise:depolarizing_2q=0.1"}
    assert not both.duplicated(["backend", "qubit", "frequency"]).any()
    for name in ("aer", "noise:readout=0.1"):
        pd.testing.assert_frame_equal(*(t[t["backend"] == name].reset_index(drop=True) for t in (first, both)))
    assert (folder / "spectrum.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((folder / "record.json").read_text())
    assert (record["qubits"], record["degree"], record["terms"]) == (4, 1, 81)
    (folder / "record.json").write_text(json.dumps(record | {"weights": "others"}))
    export_layer(run_folder, "aer")
    assert set(read_spectrum(folder / "spectrum.csv")["backend"]) == {"aer"}


def test_the_strength_of_an_order_is_its_share_of_the_standard_deviation() -> None:
    rows = [("noisy", 0, "0 0", 0, 0.1), ("noisy", 1, "0 1", 1, 0.5)]
    rows += [("aer", 0, "1 0", 1, 0.6), ("aer", 1, "0 1", 1, 0.8), ("aer", 1, "1 1", 2, 0.2)]
    found = strength_by_order(table(*rows))
    assert list(found.columns) == ["aer", "noisy"]
    expected = {"aer": [0, math.sqrt((0.36 + 0.64) / 4), math.sqrt(0.04 / 4)], "noisy": [math.sqrt(0.01 / 2), 0.25, 0]}
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected), check_names=False)


@pytest.mark.parametrize("backends", [["aer"], ["fake_torino"], ["aer", "fake_torino", "fake_brisbane"]])
def test_noisy_terms_are_drawn_against_the_ideal_ones_where_both_are_known(backends: list[str]) -> None:
    rows = [(name, 0, frequency, 1, 0.4) for name in backends for frequency in ("0 1", "1 0")]
    figure = spectrum_figure(table(*rows))
    assert len(figure.axes) == (2 if len(backends) == 3 else 1)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == backends


def test_of_many_terms_the_largest_are_drawn() -> None:
    rows = [(name, 0, f"0 {term}", 1, 1 / term) for name in ("aer", "noisy") for term in range(1, MOST_DRAWN + 50)]
    drawn = spectrum_figure(table(*rows)).axes[1].lines[-1]
    assert sorted(drawn.get_xdata()) == sorted(1 / term for term in range(1, MOST_DRAWN + 1))


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spectrum.csv"
    for content in ("", "backend,qubit\naer,0\n"):
        path.write_text(content)
        with pytest.raises(UserError, match=r"spectrum\.csv: cannot be read"):
            read_spectrum(path)
