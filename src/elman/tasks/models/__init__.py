"""Trained models, opened for use: what each knows, and what it answers.

Nothing here needs scikit-learn or skorch, whose import takes longer than most answers. The
estimators, which can also be trained, are made on top.
"""
