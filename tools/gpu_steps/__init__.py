"""The steps of `tools/gpu_check.py`: one file for each thing that is checked."""
