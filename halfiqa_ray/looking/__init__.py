"""Looking at a few photos, in this process and without Ray: for a terminal, a notebook, a script.

Its face is the package's own: ``halfiqa_ray.load``, ``look``, ``subset_scores``, ``zeroed_scores``.
"""
