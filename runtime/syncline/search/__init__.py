"""Text and vectors as data: terms, filters, scores and ranks. Pure; the engines are in segments."""
