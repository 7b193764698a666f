"""Pure functions behind the metrics: arrays in, arrays out."""
