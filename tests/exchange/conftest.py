"""Programs that run in processes of their own: to import one, as the search for doctests does, would
bring JAX and its threads into every process of the suite."""

collect_ignore = ["in_flax.py", "in_keras.py"]
