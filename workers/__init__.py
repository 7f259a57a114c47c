"""The distributed part: RQ jobs that carry batches, and the clock that finds what hints missed."""
