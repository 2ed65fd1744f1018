"""Searches in experiment trackers: TensorBoard and MLflow, while they run or afterwards."""

from parsl_tl.tracking.mlflow import MLflowCallback
from parsl_tl.tracking.replay import replay_run
from parsl_tl.tracking.tensorboard import TensorBoardCallback

__all__ = ["MLflowCallback", "TensorBoardCallback", "replay_run"]
