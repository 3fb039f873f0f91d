"""Thermodynamics: reference energies (the Gibbs head grows here)."""

from matjax.thermo.references import References, fit_references

__all__ = ["References", "fit_references"]
