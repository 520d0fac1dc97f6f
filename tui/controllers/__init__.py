"""Between the engine and the widgets: each carries out one thing the person wants. Must not draw, nor ask a widget."""
