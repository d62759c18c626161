"""How fast: probes, workers, the schedule over problems, the statistics of paired rounds, and the record they leave."""
