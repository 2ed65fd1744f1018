"""What every suite stands on: settings and options, processes, servers, tables, plots."""
