"""What the distribution offers: its names, its version, its errors, and the Pydantic that it asks for."""

import inspect
import tomllib
from importlib import import_module
from pathlib import Path

import pydantic

import pydantic_streaming
from pydantic_streaming import errors

FOLDER = Path(pydantic_streaming.__file__).parent


def test_all_is_what_the_package_imports_from_its_modules() -> None:
    """And nothing that its reader would take for a part of it by accident."""
    public = {
        name
        for name, value in vars(pydantic_streaming).items()
        if getattr(value, "__module__", "").startswith("pydantic_streaming.")
    }
    assert public == set(pydantic_streaming.__all__)


def test_every_name_in_the_all_of_a_module_is_in_the_module_and_explained() -> None:
    for path in FOLDER.glob("*.py"):
        module = import_module(f"pydantic_streaming.{path.stem}".removesuffix(".__init__"))
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                assert value.__doc__, f"{module.__name__}.{name}"


def test_the_errors_are_the_tree_that_is_drawn() -> None:
    assert errors.__doc__ is not None
    for name in errors.__all__:
        error = getattr(errors, name)
        assert name in errors.__doc__
        assert issubclass(error, pydantic_streaming.StreamingError)


def test_the_oldest_pydantic_that_is_asked_for_is_the_one_that_is_tested() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    [asked] = project["dependencies"]
    root = FOLDER.parents[1]
    assert asked == "pydantic>=2.13.2,<2.15"
    assert "\npydantic==2.13.2\n" in (root / "tests/peers/oldest-pydantic.in").read_text()
    assert pydantic.VERSION.startswith(("2.13.", "2.14."))
