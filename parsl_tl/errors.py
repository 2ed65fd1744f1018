"""The exceptions of parsl_tl: one tree, so that ``except ParslTLError`` catches all of them.

Every message says what was wrong, with which value, and what to do about it.
"""

from __future__ import annotations


class ParslTLError(Exception):
    """Base of every error that parsl_tl raises on purpose."""


class NativeModuleError(ParslTLError, ImportError):
    """The C++ module is missing, or was compiled against another pyarrow."""


class InvalidValueError(ParslTLError, ValueError):
    """An argument has a value that can never work (a NaN quality, a negative count)."""


class ArchitectureError(ParslTLError):
    """A graph of layers is not a model: a cycle, an unknown input, unconnected parts."""


class SpaceError(ParslTLError):
    """A search space is unknown, or an architecture sequence does not fit it."""


class ImpossibleArchitectureError(SpaceError):
    """An architecture of a space cannot exist, such as one that pools more than there is.

    Attributes:
        reason: the same for all architectures that fail alike, so that it can be counted.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PopulationError(ParslTLError):
    """A population cannot be generated, written or read; files from before are untouched."""


class ProblemError(ParslTLError):
    """A problem is unknown, or its data cannot be loaded."""


class ConfigError(ParslTLError):
    """An executor configuration is unknown, or cannot be used on this machine."""


class CampaignError(ParslTLError):
    """A run folder cannot be started, resumed or read."""


class TransferError(ParslTLError):
    """A transfer method is unknown, or failed to deliver weights."""


class EvaluationError(ParslTLError):
    """One evaluation failed; the search goes on. The class name becomes the failure's reason."""


class EvaluationFailedError(EvaluationError):
    """A run function failed in a worker: the exception's class and text, but not the exception.

    Attributes:
        reason: name of the exception's class.
        text: its message.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason, text)
        self.reason = reason
        self.text = text

    def __str__(self) -> str:
        return f"{self.reason}: {self.text}"


class NaNLossError(EvaluationError):
    """Training diverged: the loss is NaN or infinite."""


class EvaluationTimeoutError(EvaluationError):
    """An evaluation took longer than it was allowed to."""


class JobStorageError(ParslTLError):
    """The storage of a search does not answer a worker."""


class InfrastructureError(ParslTLError):
    """Nodes, processes or folders of a run failed, and no evaluation: carry on when they work."""


class ExecutorsLostError(InfrastructureError):
    """All executors of a configuration are in a bad state; they work only if started anew."""


class BlockEndedError(InfrastructureError):
    """A block has come to the end of its time before a task in it did.

    Attributes:
        seconds: that the task had.
        block_seconds: that the block had for tasks, from when its workers were there.
    """

    def __init__(self, seconds: float, block_seconds: float) -> None:
        super().__init__(seconds, block_seconds)
        self.seconds = seconds
        self.block_seconds = block_seconds

    def __str__(self) -> str:
        return (
            f"the task had {self.seconds:.0f} of its block's {self.block_seconds:.0f} seconds "
            "when the block ended"
        )


class StoreElsewhereError(InfrastructureError):
    """What a worker finds under the path of the store's folder is not the search's store."""


class BenchmarkError(ParslTLError):
    """A benchmark cannot run here: a program or a package is missing, or does not start."""


class AnalysisError(ParslTLError):
    """What is to be analysed cannot be read, or its results cannot be written."""


class ExportError(ParslTLError):
    """A model cannot be written in a format, or does not predict there what it predicted."""


class TrackingError(ParslTLError):
    """An experiment tracker is not installed, or does not take what a search tells it."""


class GraphMetaError(ParslTLError):
    """The metadata service cannot run: MPI is missing, a file is unreadable, or a rank failed."""


class StoreError(ParslTLError):
    """Base of everything that goes wrong in the model store."""


class StoreFormatError(StoreError):
    """The folder is no store, or one of a format that this version cannot read."""


class StoreCorruptError(StoreError):
    """Stored bytes do not have the checksum they were written with."""


class StoreFullError(StoreError):
    """The disk or quota is full; nothing was stored."""


class StorePermissionError(StoreError):
    """The folder cannot be read or written by this user."""


class StoreClosedError(StoreError):
    """The store was used after ``close()``."""


class StoreUnreachableError(StoreError):
    """A server of the store did not answer in time; whether it did what was asked is not known."""


class StoreIdentityError(StoreError, InvalidValueError):
    """A server or a folder is another store than it was, or than the others know."""


class StoreDeniedError(StoreError):
    """A server of the store did not accept the token, or the certificate is not trusted."""


class StoreBusyError(StoreError):
    """A server of the store has more to do than its limits allow; try again later."""


class ModelNotFoundError(StoreError, KeyError):
    """No living model has this id."""

    def __str__(self) -> str:  # KeyError would print the repr of its argument
        return str(self.args[0]) if self.args else ""


class ModelExistsError(StoreError):
    """A model with this id was stored before; ids are never reused."""


class DonorGoneError(StoreError):
    """A layer was to be inherited from a model that was retired and freed in the meantime."""
