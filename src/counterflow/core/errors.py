"""Every error this library raises on purpose.

Each is a :class:`CounterflowError` and a built-in error too, so that both ``except CounterflowError`` and
``except ValueError`` work. A message says what was expected, what came, and what to do::

    CounterflowError
    |-- ShapeError            (ValueError)       an array has the wrong shape
    |-- ArgumentError         (ValueError)       an argument has a value that the call cannot use
    |-- DataError             (ValueError)       a table or an array holds something that cannot be used
    |-- SchemaError           (ValueError)       a schema contradicts itself or the table
    |-- ConstraintError       (ValueError)       constraints contradict each other or the schema
    |-- ModelError            (ValueError)       a user's model does not answer as it was said to
    |-- NotInvertibleError    (ValueError)       a map is no bijection
    |-- PersistenceError      (ValueError)       a saved folder is missing, damaged or of another version
    |-- TrainingError         (RuntimeError)     training cannot go on
    |-- SolverError           (RuntimeError)     an equation was not solved to the accuracy asked
    |-- UnreliableError       (RuntimeError)     a number's own diagnostics say that it cannot be trusted
    `-- MissingExtra          (ImportError)      an optional package is not installed
"""

__all__ = [
    "ArgumentError",
    "ConstraintError",
    "CounterflowError",
    "DataError",
    "MissingExtra",
    "ModelError",
    "NotInvertibleError",
    "PersistenceError",
    "SchemaError",
    "ShapeError",
    "SolverError",
    "TrainingError",
    "UnreliableError",
]


class CounterflowError(Exception):
    """The root of all errors raised by counterflow."""


class ShapeError(CounterflowError, ValueError):
    """An array does not have the shape that the method needs."""


class ArgumentError(CounterflowError, ValueError):
    """An argument has a value that the call cannot use."""


class DataError(CounterflowError, ValueError):
    """A table or an array holds something that cannot be used."""


class SchemaError(CounterflowError, ValueError):
    """A schema contradicts itself or the table it is used with."""


class ConstraintError(CounterflowError, ValueError):
    """Constraints contradict each other, the schema or the row."""


class ModelError(CounterflowError, ValueError):
    """A user's model does not answer in the form that was promised."""


class NotInvertibleError(CounterflowError, ValueError):
    """A map that was asked to be a bijection is none."""


class PersistenceError(CounterflowError, ValueError):
    """A saved folder is missing, damaged or of another version."""


class TrainingError(CounterflowError, RuntimeError):
    """Training cannot start or cannot go on."""


class SolverError(CounterflowError, RuntimeError):
    """An equation was not solved to the accuracy that was asked."""


class UnreliableError(CounterflowError, RuntimeError):
    """A number was asked for whose own diagnostics say that it cannot be trusted."""


class MissingExtra(CounterflowError, ImportError):
    """An optional package is not installed.

    Args:
        feature: What needs it, as a noun ("plots", "reading Excel files").
        package: The name of the missing package.
        extra: The extra of counterflow that brings it.
    """

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(f"{feature} needs the package '{package}': pip install 'counterflow[{extra}]'.")
