"""Schedulers of other libraries, under their own names and arguments."""
