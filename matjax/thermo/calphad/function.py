"""Functions of temperature as databases write them: sums of c T^a (ln T)^b exp(q(T)) on intervals, with q such a sum itself, mostly zero.

A monomial may also hold Einstein's ln(1 - exp(-theta / T)), which the newer databases build on.

Host side: they are added, multiplied and joined while a database is read, then tabulated for the device (`tabulate`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np


class Monomial(NamedTuple):
    """T^power (ln T)^log exp(sum of coefficient times monomial) ln(1 - exp(-einstein / T)), the last one only where `einstein` is not 0."""

    power: float = 0.0
    log: int = 0
    einstein: float = 0.0
    exponent: tuple[tuple[Monomial, float], ...] = ()

    def __call__(self, temperature: float) -> float:
        """The value at one temperature."""
        value = temperature**self.power * math.log(temperature) ** self.log * math.exp(_value(dict(self.exponent), temperature))
        return value * math.log(-math.expm1(-self.einstein / temperature)) if self.einstein else value


Polynomial = dict[Monomial, float]
"""Coefficients by monomial; zeros are left out."""
ONE, T, LOG_T, T_LOG_T = Monomial(), Monomial(1.0), Monomial(0.0, 1), Monomial(1.0, 1)


@dataclass(frozen=True)
class Function:
    """A function of temperature: `pieces[i]` below `breaks[i]`, the last one above all; it is meant for `low` to `high`, in K."""

    pieces: tuple[Polynomial, ...]
    breaks: tuple[float, ...] = ()
    low: float = -math.inf
    high: float = math.inf

    def __add__(self, other: Function) -> Function:
        """The sum, on the intervals of both."""
        return self._combined(other, _sum)

    def __mul__(self, other: Function) -> Function:
        """The product, on the intervals of both."""
        return self._combined(other, _product)

    def __call__(self, temperature: float) -> float:
        """The value at one temperature; beyond `low` and `high` the outermost pieces go on."""
        return _value(self.pieces[bisect_right(self.breaks, temperature)], temperature)

    def map(self, rule: Callable[[Polynomial], Polynomial]) -> Function:
        """A rule applied to every piece."""
        return replace(self, pieces=tuple(rule(piece) for piece in self.pieces))

    def _combined(self, other: Function, rule: Callable[[Polynomial, Polynomial], Polynomial]) -> Function:
        breaks = tuple(sorted({*self.breaks, *other.breaks}))
        pieces = tuple(
            rule(self.pieces[bisect_right(self.breaks, start)], other.pieces[bisect_right(other.breaks, start)])
            for start in (-math.inf, *breaks)
        )
        return Function(pieces, breaks, max(self.low, other.low), min(self.high, other.high))


def constant(value: float) -> Function:
    """The same value at every temperature."""
    return Function(({ONE: float(value)} if value != 0 else {},))


def polynomial(
    constant: float = 0.0,
    t: float = 0.0,
    t_ln_t: float = 0.0,
    powers: Mapping[float, float] | None = None,
    low: float = 298.15,
    high: float = 6000.0,
) -> Function:
    """The usual form a + b T + c T ln T + sum_n d_n T^n between two temperatures.

    Args:
      constant: a, in eV (or what the parameter is in).
      t: b.
      t_ln_t: c.
      powers: d by n, such as `{2: -1e-8, -1: 0.7}`.
      low: Lowest temperature of validity, in K.
      high: Highest temperature of validity, in K.

    Example:
      >>> polynomial(0.1, t=-1e-4)(1000.0)
      0.0
    """
    total: Polynomial = {}
    for monomial, coefficient in [
        (ONE, constant),
        (T, t),
        (T_LOG_T, t_ln_t),
        *((Monomial(float(n)), d) for n, d in (powers or {}).items()),
    ]:
        total = _sum(total, {monomial: coefficient})
    return Function((total,), (), low, high)


def joined(parts: Sequence[tuple[float, float, Function]]) -> Function:
    """One function from neighbours `(low, high, function)`; the outermost functions' own limits still hold.

    Raises:
      ValueError: If they leave a gap or overlap.
    """
    ordered = sorted(parts, key=lambda part: part[0])
    for (_, end, _), (start, _, _) in zip(ordered, ordered[1:], strict=False):
        if end != start:
            raise ValueError(f"the pieces up to {end:g} K and from {start:g} K do not meet")
    breaks, pieces = [], []
    for low, high, f in ordered:
        inner = [t for t in f.breaks if low < t < high]
        pieces.extend(f.pieces[bisect_right(f.breaks, t)] for t in (low, *inner))
        breaks.extend((low, *inner))
    (low, _, first), (_, high, last) = ordered[0], ordered[-1]
    return Function(tuple(pieces), tuple(breaks[1:]), max(low, first.low), min(high, last.high))


def power(f: Function, exponent: float) -> Function:
    """A function to a power: a whole and positive one of anything, any one of a positive monomial.

    Raises:
      ValueError: If the result is no sum of monomials.
    """
    if exponent.is_integer() and 0 <= exponent <= 9:
        result = constant(1.0)
        for _ in range(int(exponent)):
            result = result * f
        return result

    def rule(piece: Polynomial) -> Polynomial:
        monomial, coefficient = _single(piece)
        if monomial.log or monomial.einstein or (coefficient < 0 and not exponent.is_integer()):
            raise ValueError("it is a fractional power of a negative number or of a logarithm")
        scaled = tuple((m, c * exponent) for m, c in monomial.exponent)
        return {Monomial(monomial.power * exponent, exponent=scaled): coefficient**exponent}

    return f.map(rule)


def log(f: Function) -> Function:
    """The logarithm of a positive monomial, ln(c T^a exp(q)) = ln c + a ln T + q, or of c - c exp(-theta / T) of either sign.

    Raises:
      ValueError: If the function is neither.
    """

    def rule(piece: Polynomial) -> Polynomial:
        if len(piece) == 2 and ONE in piece:
            return _einstein(piece)
        monomial, coefficient = _single(piece)
        if monomial.log or monomial.einstein or coefficient < 0:
            raise ValueError("it is the logarithm of a negative number or of a logarithm")
        return _sum({ONE: math.log(coefficient), LOG_T: monomial.power}, dict(monomial.exponent))

    return f.map(rule)


def exp(f: Function) -> Function:
    """The exponential of a function: constants and logarithms leave the exponent."""

    def rule(piece: Polynomial) -> Polynomial:
        rest = tuple(sorted((m, c) for m, c in piece.items() if m not in (ONE, LOG_T)))
        return {Monomial(piece.get(LOG_T, 0.0), exponent=rest): math.exp(piece.get(ONE, 0.0))}

    return f.map(rule)


class Tables(NamedTuple):
    """Functions on their common intervals: K intervals, U functions, J monomials."""

    breaks: np.ndarray  # [K - 1] in K
    coefficients: np.ndarray  # [K, U, J]
    monomials: np.ndarray  # [J, 3] powers of T and of ln T, Einstein temperatures
    exponents: np.ndarray  # [J, J] each monomial's exponent, as a sum of monomials without one
    limits: tuple[float, float]  # lowest and highest temperature at which all functions hold


def tabulate(functions: Sequence[Function]) -> Tables:
    """Tables of functions."""
    limits = max((f.low for f in functions), default=-math.inf), min((f.high for f in functions), default=math.inf)
    breaks = np.array(sorted({t for f in functions for t in f.breaks}))
    used = {m for f in functions for piece in f.pieces for m in piece} | {ONE}
    monomials = sorted(used | {inner for m in used for inner, _ in m.exponent})
    if any(inner.exponent or inner.einstein for m in monomials for inner, _ in m.exponent):
        raise ValueError("exponentials of exponentials are not supported")
    column = {m: j for j, m in enumerate(monomials)}
    coefficients, exponents = np.zeros((len(breaks) + 1, len(functions), len(monomials))), np.zeros((len(monomials),) * 2)
    for m, j in column.items():
        for inner, c in m.exponent:
            exponents[j, column[inner]] = c
    for u, f in enumerate(functions):
        edges = [0, *(np.searchsorted(breaks, f.breaks) + 1), len(breaks) + 1]
        for piece, start, stop in zip(f.pieces, edges, edges[1:], strict=False):
            for m, value in piece.items():
                coefficients[start:stop, u, column[m]] = value
    return Tables(breaks, coefficients, np.array([m[:3] for m in monomials], float), exponents, limits)


def _value(piece: Polynomial, temperature: float) -> float:
    return sum((c * monomial(temperature) for monomial, c in piece.items()), 0.0)


def _single(piece: Polynomial) -> tuple[Monomial, float]:
    if len(piece) != 1:
        raise ValueError("it is a fractional power or the logarithm of a sum")
    return next(iter(piece.items()))


def _einstein(piece: Polynomial) -> Polynomial:
    """ln(c - c exp(-theta / T)) = ln c + ln(1 - exp(-theta / T)); the same + theta / T for ln(c exp(theta / T) - c)."""
    c = piece[ONE]
    (monomial, other) = next((m, x) for m, x in piece.items() if m != ONE)
    inner, rate = next(iter(monomial.exponent), (ONE, 0.0))
    if monomial[:3] != ONE[:3] or len(monomial.exponent) != 1 or inner != Monomial(-1.0) or not math.isclose(other, -c) or rate * c > 0:
        raise ValueError("it is the logarithm of a sum that is no Einstein function")
    factor = {Monomial(einstein=abs(rate)): 1.0}
    return _sum(factor, {ONE: math.log(abs(c)), **({inner: rate} if rate > 0 else {})})


def _sum(a: Polynomial, b: Polynomial) -> Polynomial:
    total = dict(a)
    for key, value in b.items():
        total[key] = total.get(key, 0.0) + value
    return {key: value for key, value in total.items() if value != 0}


def _product(a: Polynomial, b: Polynomial) -> Polynomial:
    total: Polynomial = {}
    for m, x in a.items():
        for n, y in b.items():
            exponent = tuple(sorted(_sum(dict(m.exponent), dict(n.exponent)).items())) if m.exponent or n.exponent else ()
            if m.einstein and n.einstein:
                raise ValueError("products of Einstein functions are not supported")
            total = _sum(total, {Monomial(m.power + n.power, m.log + n.log, m.einstein or n.einstein, exponent): x * y})
    return total
