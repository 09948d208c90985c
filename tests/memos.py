"""What PyTorch need not do for each of the hundreds of programs that tests capture.

To import this is enough.
"""

import functools

from torch._dynamo import bytecode_transformation, config, guards
from torch._export import utils as export

# It keeps 128 functions, fewer than it reads for one layer: a tenth of the time to trace one.
_read = bytecode_transformation._cached_cleaned_instructions
bytecode_transformation._cached_cleaned_instructions = functools.cache(_read.__wrapped__)

# It flushes the processor's caches and takes the time of the guards, which only its logs tell.
if hasattr(guards, "profile_guard_manager"):
    guards.profile_guard_manager = lambda *_: 0.0

# It collects garbage after each program, and Python does so anyway.
if hasattr(config, "run_gc_after_compile"):
    config.run_gc_after_compile = False

# Exporters ask for all operators of C++, once for each namespace of every program.
if hasattr(export, "_materialize_cpp_cia_ops"):
    export._materialize_cpp_cia_ops = functools.cache(export._materialize_cpp_cia_ops)
