"""Results as a table of pandas that gives itself to polars and Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from parsl_tl.errors import AnalysisError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


class ResultsTable(pd.DataFrame):
    """A ``pandas.DataFrame`` of results; what is taken out of it as a table is one as well."""

    @property
    def _constructor(self) -> Any:
        return ResultsTable

    def to_arrow(self) -> pa.Table:
        """Returns the table as ``pyarrow.Table``; what is NaN here is null there."""
        import pyarrow as pa

        return pa.Table.from_pandas(self, preserve_index=False).replace_schema_metadata()

    def to_polars(self) -> pl.DataFrame:
        """Returns the table as ``polars.DataFrame``; what is NaN here is null there.

        Raises:
            AnalysisError: polars is not installed.
        """
        try:
            import polars as pl
        except ImportError as error:
            raise AnalysisError(
                "to_polars needs polars: pip install 'parsl-tl[polars]'; to_arrow does without"
            ) from error
        return pl.DataFrame(self.to_arrow())
