"""What a run writes down of itself: numbers, pictures, charts, a report."""
