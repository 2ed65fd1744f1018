"""Training one candidate: trainers, and the run functions that a search calls."""

from parsl_tl.training.base_trainer import BaseTrainer
from parsl_tl.training.config import TrainingConfig
from parsl_tl.training.report import TrainingReport, failure_reason
from parsl_tl.training.run import run_base_trainer, run_transfer_trainer
from parsl_tl.training.runtime import configure_threads
from parsl_tl.training.transfer_trainer import TransferTrainer

__all__ = [
    "BaseTrainer",
    "TrainingConfig",
    "TrainingReport",
    "TransferTrainer",
    "configure_threads",
    "failure_reason",
    "run_base_trainer",
    "run_transfer_trainer",
]
