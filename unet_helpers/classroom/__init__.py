"""For teachers and authors: lessons made ready to be handed out, and what a class hands in, in one table."""
