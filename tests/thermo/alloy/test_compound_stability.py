"""A compound that is in no landscape: as if it were in it and nothing else were new."""

import numpy as np
import pytest

from matjax.thermo.alloy.compound_stability import compound_stabilities
from matjax.thermo.alloy.landscape import Landscape, Points, landscape
from matjax.thermo.alloy.stability import stabilities


def without(model: Landscape, keep: np.ndarray) -> Landscape:
    """The landscape with these of its compounds alone."""
    last = {
        name: getattr(model, name)[..., keep]
        for name in ("compound_enthalpy",) + tuple(f"compound_log_{k}" for k in ("bulk", "shear", "volume"))
    }
    return model._replace(compound_x=model.compound_x[keep], **last)


def as_points(model: Landscape, rows: np.ndarray) -> Points:
    """Compounds of a landscape as data."""
    x = np.asarray(model.compound_x)[rows]
    enthalpy = np.asarray(model.compound_enthalpy)[..., rows] + np.asarray(model.reference) @ x.T
    moduli = (np.exp(np.asarray(getattr(model, f"compound_log_{k}"))[..., rows]) for k in ("volume", "bulk", "shear"))
    return Points(np.zeros(len(rows), int), x, enthalpy, *moduli)


@pytest.mark.parametrize("n_member", [1, 2])
def test_as_if_it_were_the_only_new_one_in_the_landscape(random_data, n_member):
    model = landscape(*random_data(3, 4, n_member=n_member))
    kept, new = np.array([0]), np.array([1, 2])
    got = compound_stabilities(without(model, kept), as_points(model, new), 900.0)
    assert got.value.shape == (n_member, 2)
    for k, row in enumerate(new):
        alone = without(model, np.append(kept, row))
        wanted = stabilities(alone, np.array([3 + len(kept)]), np.asarray(model.compound_x)[[row]], 900.0)
        np.testing.assert_allclose(got.value[:, k], wanted.value[:, 0], atol=1e-6)
        np.testing.assert_allclose(got.gibbs[:, k], wanted.gibbs[:, 0], atol=1e-9)
        assert int(np.asarray(got.phases)[:, k].max()) < 3 + len(kept), "the candidate is no competitor of itself"


def test_one_landscape_serves_every_member_of_the_compounds(random_data):
    model = landscape(*random_data(3, 4, n_member=1))
    known, new = without(model, np.array([0, 1])), as_points(model, np.array([2]))
    spread = new._replace(**{name: np.concatenate([getattr(new, name)] * 3) for name in ("volume", "bulk", "shear")})
    spread = spread._replace(enthalpy=new.enthalpy + np.array([[0.0], [0.01], [-0.02]]))
    got = compound_stabilities(known, spread, 900.0)
    np.testing.assert_allclose(got.value[:, 0] - got.value[0, 0], [0.0, 0.01, -0.02], atol=1e-9)


def test_what_is_unknown_is_refused(random_data):
    model = landscape(*random_data(3, 4, n_member=1))
    new = as_points(model, np.array([2]))
    with pytest.raises(ValueError, match="shear of a compound is unknown or not positive"):
        compound_stabilities(model, new._replace(shear=np.array([[np.nan]])), 900.0)
    with pytest.raises(ValueError, match="2 members of the compounds on a landscape of 3"):
        compound_stabilities(
            landscape(*random_data(3, 4, n_member=3)), as_points(landscape(*random_data(3, 4, n_member=2)), np.array([2])), 900.0
        )
    with pytest.raises(ValueError, match="no compound to judge"):
        compound_stabilities(model, as_points(model, np.array([], int)), 900.0)
