"""Does something as soon as a library is imported, by whomever: so that setting it up does not import it."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def when_imported(name: str, then: Callable[[], None]) -> None:
    """Calls `then` once: now if the library is there already, else right after it was imported. A second call for the
    same library replaces the first that is still to come."""
    sys.meta_path[:] = [each for each in sys.meta_path if not (isinstance(each, _Awaited) and each.name == name)]
    if name in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _Awaited(name, then))


class _Awaited(MetaPathFinder):
    """Finds one library as all others would, and puts something behind its loading."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self.name = name
        self._then = then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Followed(spec.loader, self._then)
        return spec


class _Followed(Loader):
    """Another loader, and something after it."""

    def __init__(self, loader: Loader, then: Callable[[], None]) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None, "it is being imported"
        module.__spec__.loader = module.__loader__ = self._loader  # nobody is to find us in its place
        self._loader.exec_module(module)
        self._then()
