"""Settings for every suite: Hypothesis profiles, so that runs of one commit are all the same."""

import os

from hypothesis import HealthCheck, settings

# "ci" is the default: derandomised, so a green run stays green. "explore" looks for new failures:
# HYPOTHESIS_PROFILE=explore .venv/bin/pytest tests/property
_UNHURRIED = (HealthCheck.too_slow,)
settings.register_profile(
    "ci",
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=_UNHURRIED,
)
settings.register_profile(
    "explore", max_examples=3_000, deadline=None, print_blob=True, suppress_health_check=_UNHURRIED
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
