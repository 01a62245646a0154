"""One HTML page with scores, curves, cases and a slider."""
