"""What one GPU draws under transformer load, read from NVML: our own measurement.

    python -m benchmarks.gpu_power --out DIR [--seconds 60] [--budget-s 480]

Needs torch and nvidia-ml-py on a machine with one NVIDIA GPU, and nothing of ebplan. It reads and
never sets: no power cap, clock or mode of the GPU is touched.

What is run: a decoder-only transformer with random weights (`model`), its decode and prefill steps
replayed from CUDA graphs (`load`), cell by cell (`plan`, `cells`), each block of cells in a
process of its own (`block`). What is read: power, energy counter, clocks, temperature, by a
process beside it (`meter`, `sampler`). What is written (`tables`): `runs.csv`, one row per cell;
`transitions.csv`, power around starts and stops of the load; `failed.csv`, what could not be
measured and why; `samples.csv`, every reading.
"""
