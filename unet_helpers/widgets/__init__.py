"""Controls: what a lesson lets its reader move."""
