"""What torch works out anew for every program, kept for the next: tests capture hundreds of them.

To import this is enough. Releases of torch that have no such function are left as they are.
"""

import functools
from typing import Any

import torch._dynamo.bytecode_transformation
import torch._export.utils
import torch.export.decomp_utils
import torch.export.exported_program


def _keep(name: str, *modules: Any) -> None:
    """Replaces a function, in all modules that have it, by one that remembers every result."""
    function = getattr(modules[0], name, None)
    if function is not None:
        kept = functools.cache(getattr(function, "__wrapped__", function))
        for module in modules:
            setattr(module, name, kept)


# Of the functions that dynamo reads: it remembers 128, and a layer's forward pass has more.
_keep("_cached_cleaned_instructions", torch._dynamo.bytecode_transformation)
# The operators that are compositions of others, a third of a second each time. All are registered
# when torch and elman are imported.
_keep(
    "_collect_all_valid_cia_ops",
    torch._export.utils,
    torch.export.decomp_utils,
    torch.export.exported_program,
)
