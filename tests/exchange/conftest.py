"""Programs of these tests run in processes of their own. To import one, as the search for doctests
does, would bring JAX and its threads into every process of the suite."""

collect_ignore = ["in_flax.py", "in_keras.py"]
