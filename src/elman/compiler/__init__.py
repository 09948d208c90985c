"""From a traced step to native code: gradient, stages, LLVM IR, object code.

The path through the files: ``gradient`` turns the step's graph into the step of its backward
pass; ``graph`` folds additions into products and cuts a step where a product needs whole rows;
``plan`` holds all of that. ``tile`` is the one product kernel, ``vector`` and ``activations`` the
pointwise work, ``forward`` and ``backward`` the loops over time around both; ``jit`` makes it run.
docs/architecture.md shows every form of an LSTM on its way.
"""
