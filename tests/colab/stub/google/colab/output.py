"""Colab's frontend: the widgets of ipywidgets need nothing from it."""

__all__ = ["disable_custom_widget_manager", "enable_custom_widget_manager"]


def enable_custom_widget_manager() -> None:
    """Allow widgets of other packages; those of ipywidgets are shown anyhow."""


def disable_custom_widget_manager() -> None:
    """The opposite."""
