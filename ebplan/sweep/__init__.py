"""Many studies side by side: scenarios and periods in chunks, on all cores or on a cluster."""
