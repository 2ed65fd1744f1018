"""What programs share: the console, files of results, and plots."""
