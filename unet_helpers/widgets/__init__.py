"""What a reader moves by hand in a lesson, one module a lesson: drawing and wiring, no teaching."""
