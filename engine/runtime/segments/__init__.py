"""Segments in the pipeline: kept up to date in the transaction of what happens (``keep_up``),
looked at when time alone may change them (``look``), searched through when a definition is new
(``search``), and read from the project (``SegmentFiles``)."""
