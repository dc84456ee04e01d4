"""Other libraries' schedules, exact to their own numbers, their off-by-ones included.

One module for each library: `from lrdecay.compat import torch`. Each constructor has its peer's own
name and arguments. Where the peer takes an optimizer, it takes the base rate `lr`, and it returns a
schedule, step -> rate, whose step 0 is the first rate that the peer trains with. Every number may
be traced. Docstrings say what differs from our own schedules, by which the rest is documented.
"""
