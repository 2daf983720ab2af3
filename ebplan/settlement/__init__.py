"""What is settled: meter series, baselines, delivered response, reports to the grid."""
