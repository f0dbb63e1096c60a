"""The records of a run: metrics, previews, charts, a report."""
