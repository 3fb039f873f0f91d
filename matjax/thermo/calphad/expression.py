"""Expressions of a parsed TDB, walked into functions of temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matjax.thermo.calphad.function import Function, T, constant, exp, joined, log, power


class Expressions:
    """Walks expressions with the database's named functions, each once.

    Args:
      symbols: Expressions by name.
      pressure: In Pa, put in for P.
    """

    def __init__(self, symbols: Mapping[str, Any], pressure: float):
        self.symbols, self.pressure = symbols, pressure
        self.seen: dict[Any, Function] = {}
        self.scaled: dict[Any, Function] = {}

    def function(self, expression: Any, unit: float) -> Function:
        """The function that an expression gives, times a unit; equal expressions give the same object.

        Raises:
          ValueError: If it holds something that is not a sum of monomials of T and ln T, with the text.
        """
        key = expression, unit
        if key not in self.scaled:
            self.scaled[key] = self._walk(expression) * constant(unit)
        return self.scaled[key]

    def _walk(self, expression: Any) -> Function:
        if expression not in self.seen:
            self.seen[expression] = self._form(expression)
        return self.seen[expression]

    def _form(self, expression: Any) -> Function:
        if isinstance(expression, int | float):
            return constant(expression)
        if expression.is_Number:
            return constant(float(expression))
        if expression.is_Symbol:
            return self._symbol(str(expression))
        kind, args = type(expression).__name__.lower(), expression.args
        if kind == "add":
            return self._fold(args, Function.__add__)
        if kind == "mul":
            return self._fold(args, Function.__mul__)
        if kind == "piecewise":
            return self._piecewise(args)
        try:
            if kind == "pow" and args[1].is_Number:
                return power(self._walk(args[0]), float(args[1]))
            if kind == "pow" and args[0].is_Number:
                return exp(self._walk(args[1]) * constant(math.log(float(args[0]))))
            if kind == "log":
                return log(self._walk(args[0]))
            raise ValueError(f"{kind} is not known")
        except ValueError as error:
            raise ValueError(f"{expression} is no sum of powers of T, its logarithm and exponentials: {error}") from error

    def _fold(self, args: Any, rule: Any) -> Function:
        total = self._walk(args[0])
        for arg in args[1:]:
            total = rule(total, self._walk(arg))
        return total

    def _symbol(self, name: str) -> Function:
        if name == "T":
            return Function(({T: 1.0},))
        if name == "P":
            return constant(self.pressure)
        if name not in self.symbols:
            raise ValueError(f"the function {name} is not defined in the database")
        return self._walk(self.symbols[name])

    def _piecewise(self, args: Any) -> Function:
        """Pieces between temperatures; the zero that the parser adds for all others is left out."""
        parts = []
        for value, condition in zip(args[::2], args[1::2], strict=True):
            if type(condition).__name__ != "BooleanTrue":
                low, high = _bounds(condition)
                parts.append((low, high, self._walk(value)))
        return joined(parts) if parts else constant(0.0)


def _bounds(condition: Any) -> tuple[float, float]:
    """Lowest and highest temperature of a condition such as And(298.15 <= T, T < 6000)."""
    low, high = -math.inf, math.inf
    for relation in condition.args if type(condition).__name__ == "And" else (condition,):
        left, right = relation.args  # symengine turns every relation into a < b or a <= b
        if left.is_Number and str(right) == "T":
            low = max(low, float(left))
        elif right.is_Number and str(left) == "T":
            high = min(high, float(right))
        else:
            raise ValueError(f"the condition {condition} is no interval of T")
    return low, high
