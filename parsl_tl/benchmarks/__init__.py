"""What the benchmarks share: large catalogs, the ways to compare with, and reports."""
