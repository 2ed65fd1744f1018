"""What programs share: the console."""
