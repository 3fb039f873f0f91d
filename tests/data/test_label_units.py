"""Label units: another unit in one domain is refused and named, another material is not."""

import dataclasses

import numpy as np
import pytest

from matjax.data import check_label_units, domain_labels
from matjax.types import Dataset

LABEL = "formation_energy_per_atom"


@pytest.mark.parametrize(
    ("factor", "said"), [(96.485, "kJ/mol|GPa"), (1 / 96.485, "kJ/mol|GPa"), (1000.0, "meV"), (1 / 13.606, "rydberg|kcal")]
)
@pytest.mark.parametrize("column", ["laboratory", "crystal_system"])
def test_another_unit_in_one_domain_is_named(flla: Dataset, factor: float, said: str, column: str) -> None:
    flla = flla.with_domains(laboratory=np.array(["A", "B", "C"] * len(flla))[: len(flla)])
    of = domain_labels(flla, column) == ("B" if column == "laboratory" else "tetragonal")
    wrong = dataclasses.replace(flla, labels={LABEL: flla.labels[LABEL] * np.where(of, factor, 1.0)})
    check_label_units(flla, LABEL, column)
    with pytest.raises(ValueError, match=f"'{'B' if column == 'laboratory' else 'tetragonal'}' are of size.*({said})"):
        check_label_units(wrong, LABEL, column)


@pytest.mark.parametrize("column", ["anion", "crystal_system", "n_elements", "elements", "periodic_groups", "space_group"])
def test_real_domains_have_one_unit(flla: Dataset, column: str) -> None:
    check_label_units(flla, LABEL, column)


def test_a_shifted_zero_is_no_unit(flla: Dataset) -> None:
    moved = flla.labels[LABEL] + np.where(domain_labels(flla, "crystal_system") == "cubic", 100.0, 0.0)
    check_label_units(dataclasses.replace(flla, labels={LABEL: moved}), LABEL, "crystal_system")


def test_no_label_at_all_is_refused(flla: Dataset) -> None:
    nothing = dataclasses.replace(flla, labels={LABEL: np.full(len(flla), np.nan)})
    with pytest.raises(ValueError, match="NaN for all 3938"):
        check_label_units(nothing, LABEL, "crystal_system")
