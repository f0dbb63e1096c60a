"""A trained generator becomes an artefact that is verified against PyTorch.

`cyclegan_edge.export` is this package and a function at once: `cyclegan_edge.export(source, …)` exports, and
`from cyclegan_edge.export.targets import …` imports, in any order. A function in the root package would not do: to
import a module from here binds the name to the package, and before that `import cyclegan_edge.export.targets as t`
would look for `targets` in the function. So the module of the package is made callable, as Python allows ("Customizing
module attribute access"). Type checkers read the function's signature in the root package.
"""

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """The package, which exports when it is called; see `door.export`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Import what exports, torch among it, and do it."""
        from .door import export

        return export(*arguments, **options)


sys.modules[__name__].__class__ = _CallablePackage
