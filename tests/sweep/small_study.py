"""A study small enough to run in seconds, through every stage."""

from __future__ import annotations

from mgm_jax.study import Study, make_study


def small_study(**changes: object) -> Study:
    """Pixels and two untrained Conv4 on 30 digits, plain and under two settings."""
    return make_study(
        {
            "name": "small",
            "encoders": [
                {"source": "pixels", "size": 8},
                {"source": "conv4", "size": 32, "seeds": [0, 1]},
            ],
            "images": [{"source": "digits", "per_class": 5}],
            "augmentation": {
                "settings": ["crop", "colorjitter"],
                "images": 6,
                "views": 8,
            },
            "metrics": {"resamples": 200},
        }
        | changes
    )
