"""What a pretrained model has seen: counted by hand on crystals of known kind."""

from __future__ import annotations

import numpy as np
import pytest

from matjax.data.exposure import exposure
from matjax.types import Crystal, Dataset


def _rock_salt(a: int, b: int) -> Crystal:
    corner = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Crystal(np.eye(3) * 4.2, np.array([*corner, *(np.array(corner) + [0.5, 0, 0])]) * 4.2, np.repeat([a, b], 4))


def _caesium_chloride(a: int, b: int) -> Crystal:
    return Crystal(np.eye(3) * 3.0, np.array([[0, 0, 0], [1.5, 1.5, 1.5]]), np.array([a, b]))


def _set(*crystals: Crystal) -> Dataset:
    return Dataset(crystals, tuple(map(str, range(len(crystals)))))


MG, CA, SR, O, S = 12, 20, 38, 8, 16
SOURCE = _set(_rock_salt(MG, O), _rock_salt(CA, O), _caesium_chloride(CA, S))
TARGET = _set(_rock_salt(MG, O), _caesium_chloride(MG, O), _rock_salt(MG, S), _rock_salt(SR, O))


def test_what_is_shared_by_kind():
    found = exposure(SOURCE, TARGET, _set(_rock_salt(MG, S)))
    assert found.shares["elements"].tolist() == [True, True, True, False]
    assert found.shares["chemical_system"].tolist() == [True, True, False, False]
    assert found.shares["composition"].tolist() == [True, True, False, False]
    assert found.shares["prototype"].tolist() == [True, True, True, True]
    assert found.shares["material"].tolist() == [True, False, False, False]  # the polymorph is another material
    assert found.label_ood.tolist() == [True, True, False, True]
    assert found.representation_ood.tolist() == [False, False, False, True]
    assert found.columns()["pretrained_elements"] == 0.75
    assert found.columns()["label_ood"] == 0.75
    assert "1 representation-OOD" in str(found)


def test_an_unseen_prototype_is_a_representation_shift():
    found = exposure(_set(_rock_salt(MG, O)), _set(_caesium_chloride(MG, O)))
    assert found.shares["elements"].all() and found.representation_ood.all() and found.label_ood.all()


def test_compositions_alone():
    found = exposure(SOURCE, TARGET, TARGET.select([0]), structures=False)
    assert "prototype" not in found.shares
    assert found.shares["material"].tolist() == found.shares["composition"].tolist()
    assert found.label_ood.tolist() == [False, False, True, True]  # both forms of MgO are one composition


def test_nothing_pretrained_and_nothing_to_compare():
    found = exposure(SOURCE.select([]), TARGET)
    assert not any(seen.any() for seen in found.shares.values()) and found.representation_ood.all()
    with pytest.raises(ValueError, match="empty"):
        exposure(SOURCE, TARGET.select([]))
