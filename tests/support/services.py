"""What tests need that is not on every machine; ``-m "redis or thallium"`` runs just those."""

import pytest

from parsl_tl.benchmarks.core.servers import redis_missing

NEEDS_REDIS = [
    pytest.mark.redis,
    pytest.mark.skipif(redis_missing() is not None, reason=str(redis_missing())),
]


def needs_redis(test):
    """Decorates a test, or a class of tests, that starts a redis-server."""
    for mark in NEEDS_REDIS:
        test = mark(test)
    return test
