"""Unknown names are refused with a similar known one; keyword arguments too, as Python itself does from 3.13 on."""

import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter, signature
from types import FunctionType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)
BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def did_you_mean(name: str, known: Iterable[str], *, min_similarity: float = 0.6) -> str:
    """The end of a message on an unknown name, `; did you mean 'filter'?`; empty where no known name is similar."""
    similar = get_close_matches(name, known, n=1, cutoff=min_similarity)
    return f"; did you mean {similar[0]!r}?" if similar else ""


def suggests_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Let the TypeError of an unknown keyword argument end with "did you mean ...?"."""
    if sys.version_info >= (3, 13):
        return function

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            # An error from inside the function has its frame; a call that is refused has none.
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:
                error.args = (f"{error}{_suggestion(function, kwargs)}",)
            raise

    return call


def methods_suggest_keywords(kind: C) -> C:
    """Let all public methods that a class defines, and its constructor, name the similar keyword argument."""
    for name, value in list(vars(kind).items()):
        if isinstance(value, FunctionType) and (name == "__init__" or not name.startswith("_")):
            setattr(kind, name, suggests_keywords(value))
    return kind


def _suggestion(function: Callable[..., object], given: dict[str, object]) -> str:
    known = [name for name, parameter in signature(function).parameters.items() if parameter.kind in BY_NAME]
    suggestions = (did_you_mean(name.lower(), known) for name in given.keys() - known)
    return next(filter(None, suggestions), "")
