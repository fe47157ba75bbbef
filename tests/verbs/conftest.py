from tests.remote.fake_ray import ray

__all__ = ["ray"]
