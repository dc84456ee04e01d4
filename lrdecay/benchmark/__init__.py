"""Timing of compiled programs on a CPU, GPU or TPU."""
