"""One module per figure: inspections of a model in, a matplotlib figure at print quality out."""
