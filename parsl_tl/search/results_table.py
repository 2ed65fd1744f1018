"""A campaign's tables for those who use polars or Arrow in place of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from parsl_tl.errors import AnalysisError, InvalidValueError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


class GivesTables:
    """Makes tables of Arrow and polars of a campaign's ``results`` and ``curves``."""

    @property
    def results(self) -> pd.DataFrame:
        """See ``Campaign.results``."""
        raise NotImplementedError

    @property
    def curves(self) -> pd.DataFrame:
        """See ``Campaign.curves``."""
        raise NotImplementedError

    def to_arrow(self, table: Literal["results", "curves"] = "results") -> pa.Table:
        """Returns a table as ``pyarrow.Table``; what is NaN in pandas is null there.

        Args:
            table: which of the two.

        Raises:
            InvalidValueError: there is no such table.
        """
        import pyarrow as pa

        if table not in ("results", "curves"):
            raise InvalidValueError(f"table={table!r}; choose 'results' or 'curves'")
        frame = self.results if table == "results" else self.curves
        return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()

    def to_polars(self, table: Literal["results", "curves"] = "results") -> pl.DataFrame:
        """Returns a table as ``polars.DataFrame``; what is NaN in pandas is null there.

        Args:
            table: which of the two.

        Raises:
            AnalysisError: polars is not installed.
            InvalidValueError: there is no such table.
        """
        try:
            import polars as pl
        except ImportError as error:
            raise AnalysisError(
                "to_polars needs polars: pip install 'parsl-tl[polars]'; to_arrow does without"
            ) from error
        return pl.DataFrame(self.to_arrow(table))
