"""What dynamo reads of functions, kept for the next program: tests capture hundreds of them.

To import this is enough.
"""

import functools

from torch._dynamo import bytecode_transformation

# It keeps 128 functions, fewer than it reads for one layer: a tenth of the time to trace one.
_read = bytecode_transformation._cached_cleaned_instructions
bytecode_transformation._cached_cleaned_instructions = functools.cache(_read.__wrapped__)
