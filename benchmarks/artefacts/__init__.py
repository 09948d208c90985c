"""Artefacts beside other ways to run a layer in a C program."""
